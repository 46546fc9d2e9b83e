"""Follow one mailbox over the edge, from where the last run ended.

    EDGE=https://oa.corp.com/exmail/ TOKEN=… python mailbox.py websocket     # or: events

The position is kept in the file POSITION (default: position.txt). Needs aiohttp 3.9 or later.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp

EDGE = os.environ["EDGE"].rstrip("/")
PLACE = Path(os.environ.get("POSITION", "position.txt"))
SILENCE_S = 60  # two heartbeats and their delay
LONGEST_WAIT_S = 30


def work(event: dict[str, Any]) -> None:
    """Yours. After a crash the last event may come again."""
    print(event["id"], event["type"], event["data"].get("mail_id", ""), flush=True)


def begin_anew(snapshot: dict[str, Any]) -> None:
    """Yours: what came before cannot be continued. ``recent`` holds the newest mails."""
    print("anew:", snapshot["reason"], len(snapshot["recent"]), flush=True)


async def websocket(http: aiohttp.ClientSession, query: dict[str, str]) -> AsyncIterator[str]:
    async with http.ws_connect(f"{EDGE}/ws", params=query) as socket:
        while True:
            message = await socket.receive(timeout=SILENCE_S)
            if message.type != aiohttp.WSMsgType.TEXT:
                return
            yield message.data


async def events(http: aiohttp.ClientSession, query: dict[str, str]) -> AsyncIterator[str]:
    headers = {"Accept": "text/event-stream"}
    limit = aiohttp.ClientTimeout(total=None, sock_read=SILENCE_S)
    async with http.get(f"{EDGE}/events", params=query, headers=headers, timeout=limit) as stream:
        stream.raise_for_status()
        async for line in stream.content:
            if line.startswith(b"data: "):
                yield line[6:].decode()


def position() -> str:
    return PLACE.read_text() if PLACE.exists() else ""


def keep(position: str) -> None:
    PLACE.write_text(position)


async def follow(http: aiohttp.ClientSession, transport: Any) -> float:
    """One connection; return how many seconds the edge asked to wait, or end if it said not to come back."""
    after = position()
    async for text in transport(http, {"after": after} if after else {}):
        frame = json.loads(text)
        data = frame["data"]
        if frame["type"] == "exmail.snapshot":
            if not data["resumed"]:
                begin_anew(data)
            keep(data["position"])
        elif frame["type"] == "exmail.closing":
            if 3500 <= data["code"] <= 3999 or 4500 <= data["code"] <= 4999:
                sys.exit(f"sent away: {data['code']} {data['reason']}")
            return float(data["retry_ms"]) / 1000
        elif "id" in frame:  # frames of types that are not known are ignored
            work(frame)
            keep(frame["id"])
    return 0.0


async def main(transport: Any) -> None:
    headers = {"Authorization": f"Bearer {os.environ['TOKEN']}"}
    failures = 0
    async with aiohttp.ClientSession(headers=headers, read_bufsize=2**20) as http:
        while True:
            begun = asyncio.get_running_loop().time()
            asked = 0.0
            try:
                asked = await follow(http, transport)
            except (aiohttp.ClientError, TimeoutError) as error:
                print("lost:", error or type(error).__name__, file=sys.stderr)
            if asyncio.get_running_loop().time() - begun > LONGEST_WAIT_S:
                failures = 0  # it was a good one
            await asyncio.sleep(max(asked, random.random() * min(LONGEST_WAIT_S, 0.5 * 2**failures)))  # noqa: S311
            failures = min(failures + 1, 10)  # beyond a thousand 2**failures is no float


asyncio.run(main({"websocket": websocket, "events": events}[sys.argv[1]]))
