"""Hear every mailbox event as it is published, and where something was not heard: pub/sub itself never says so.

    REDIS_URL=redis://127.0.0.1:6379/0 python pubsub.py

For what may be missed. Who must not miss a mail reads the stream: group.py.
"""

import json
import os
import sys
import time

import redis

positions = {}  # of each mailbox: the id of its newest event


def work(event):
    """Yours."""
    print(event["id"], event["type"], event["data"].get("mailbox"), flush=True)


def missed(why):
    """Yours. Mailboxes' own histories are in {exmail}:log:<address>, their counts in {exmail}:mailbox:<address>."""
    print("events may be missing:", why, file=sys.stderr, flush=True)


def heard(event):
    epoch, _, number = event["id"].rpartition("-")
    last = positions.get(event["source"])
    if last not in (None, f"{epoch}-{int(number) - 1}"):
        missed(f"of {event['source']} between {last} and {event['id']}")
    positions[event["source"]] = event["id"]
    work(event)


def listen(bus):
    asked = False
    while True:
        message = bus.get_message(timeout=10)
        if message is None:
            # Nothing for ten seconds: is somebody still there?
            if asked:
                raise redis.TimeoutError("no answer to a ping")
            bus.ping()
        asked = message is None
        if message and message["type"] == "psubscribe":
            # The client connects anew by itself, too. This is how it tells.
            missed("whatever was published before this connection")
        elif message and message["type"] == "pmessage":
            heard(json.loads(message["data"]))


while True:
    client = redis.from_url(os.environ["REDIS_URL"], protocol=2, socket_timeout=30, socket_keepalive=True)
    try:
        with client.pubsub() as bus:
            bus.psubscribe("exmail:mailbox:*")
            listen(bus)
    except (redis.ConnectionError, redis.TimeoutError) as error:
        print("Redis is away:", error, file=sys.stderr, flush=True)
        time.sleep(1)
