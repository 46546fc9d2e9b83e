"""Mailboxes with a history, as a worker writes them: what nobody looks at must cost nobody anything."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Final

from bridge.journal.calls import Retention
from bridge.journal.connect import RedisAddress
from bridge.journal.keys import Keys
from bridge.journal.writer import Writer
from bridge.provider.pushes import MailArrived
from bridge.worker.translate import Translator

_TOGETHER: Final = 256


def write(redis_url: str, mailboxes: list[str], *, each: int) -> None:
    """So many mails to each of them, in turns, by a leader that has left when this returns."""
    asyncio.run(_write(redis_url, mailboxes, each))


async def _write(redis_url: str, mailboxes: list[str], each: int) -> None:
    translator = Translator("exmail", "full", {})
    mails = (
        MailArrived(
            mailbox=mailbox,
            mail_id=f"ZC{number:030}",
            sender="Ann <ann@example.com>",
            receiver=mailbox,
            subject=f"Report {number}: 第三季度销售情况与下一步计划",
            summary="各位同事：附件是第三季度的报告，请在周五之前看一遍。" * 3,
            unread=number + 1,
        )
        for number in range(each)
        for mailbox in mailboxes
    )
    async with RedisAddress(redis_url).client() as redis:
        writer = Writer(redis, Keys("exmail"), lease_s=60, retention=Retention())
        if await writer.claim() is None:
            raise RuntimeError("somebody else leads")
        renewed = time.monotonic()
        while some := list(itertools.islice(mails, _TOGETHER)):
            await writer.commit([translator.mail(mail, time_s=time.time()) for mail in some])
            if time.monotonic() - renewed > 5:
                await writer.keep()
                renewed = time.monotonic()
        await writer.release()
