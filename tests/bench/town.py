"""``python -m tests.bench.town N DELAY_S``: the simulated provider of a corporation of N accounts, three slaves each.

It answers each call after the delay. Its address stands on the first line of its output; then it takes orders from its
input, a line each, and answers ``ok``: ``modify|disable|enable|remove FROM TO``, for the accounts of these numbers.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace

from bridge.simulator import Simulator, World
from bridge.simulator.faults.faults import Kind
from bridge.simulator.world.account import Account

DEPARTMENT = "广州研发中心/企业邮箱"


def alias(number: int) -> str:
    return f"p{number}@gzdev.com"


def person(number: int) -> Account:
    slaves = tuple(f"{letter}{number}@gzdev.com" for letter in "xyz")
    return Account(
        alias=alias(number),
        name=f"Person {number}",
        slaves=slaves,
        position="engineer",
        tel="020-1234567",
        mobile="13800138000",
        ext_id=f"E{number}",
        parties=(DEPARTMENT,),
    )


def obey(world: World, order: str) -> None:
    what, first, last = order.split()
    for name in map(alias, range(int(first), int(last))):
        account = world.accounts[name]
        match what:
            case "modify":
                world.roster.modify(replace(account, name=f"Dr {account.name}"))
            case "disable":
                world.roster.modify(replace(account, open_type=2))
            case "enable":
                world.roster.modify(replace(account, open_type=1))
            case "remove":
                world.roster.remove(name)


async def serve(accounts: int, delay_s: float) -> None:
    world = World(users=1, mails_kept=1000)
    for number in range(accounts - 1):
        world.enrol(person(number))
    async with await Simulator.start(world) as simulator:
        simulator.faults.on(Kind.DELAY, endpoint="user/get", value=delay_s)
        print(json.dumps({"url": simulator.url, "secret": world.client_secret, "ver": world.ver}), flush=True)
        loop = asyncio.get_running_loop()
        while order := await loop.run_in_executor(None, sys.stdin.readline):
            obey(world, order)
            print("ok", flush=True)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), float(sys.argv[2])))
