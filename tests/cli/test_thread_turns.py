"""While a thread works through something large, the event loop is not kept waiting."""

from __future__ import annotations

import asyncio
import sys

from bridge.commands.command import SWITCH_S, run_until_done


async def _interval_s() -> float:
    return await asyncio.to_thread(sys.getswitchinterval)


def test_a_program_gets_the_interpreter_back_from_a_thread_at_once() -> None:
    before_s = sys.getswitchinterval()

    assert run_until_done(_interval_s()) == SWITCH_S < before_s
    assert sys.getswitchinterval() == before_s
