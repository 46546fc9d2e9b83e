"""Work on each event once, together with others of one consumer group; hear where some may have been lost.

REDIS_URL=redis://127.0.0.1:6379/0 python group.py create          once: the group gets what comes from now on
REDIS_URL=redis://127.0.0.1:6379/0 python group.py work worker-1   as many as you like, each with its own name
"""

import json
import os
import sys
import time

import redis

KEY = "{exmail}:events"
GROUP = "workflow"
BLOCK_MS = 10_000
# What a consumer took and did not acknowledge for so long is given to another one: longer than ten events ever take.
IDLE_MS = int(os.environ.get("IDLE_MS", "60000"))


def work(event):
    """Yours. It may be called twice for one event: remember what is done by mailbox and mail_id."""
    print(event["id"], event["type"], event["data"].get("mailbox"), flush=True)


def missed(why):
    """Yours. What the events would have told you has to be looked up, or somebody must know."""
    print("events may be missing:", why, file=sys.stderr, flush=True)


def create(stream, start):
    try:
        stream.xgroup_create(KEY, GROUP, start, mkstream=True)
    except redis.ResponseError as error:
        if not str(error).startswith("BUSYGROUP"):  # another consumer was quicker
            raise


def follows(last, entry_id):
    """Whether nothing is missing between two ids, <generation>-<n>; 0-0 is before all of them."""
    generation, number = map(int, entry_id.split(b"-"))
    return number == 0 if last == b"0-0" else last == b"%d-%d" % (generation, number - 1)


def take(stream, name):
    """The next entries of the group, and where it was before them: one step, no other consumer comes between."""
    both = stream.pipeline(transaction=True)
    both.xinfo_groups(KEY)
    both.xreadgroup(GROUP, name, {KEY: ">"}, count=10)
    groups, answer = both.execute(raise_on_error=False)
    if isinstance(answer, Exception):
        raise answer
    last = next(group["last-delivered-id"] for group in groups if group["name"] == GROUP.encode())
    return last, answer[0][1] if answer else []


def take_over(stream, name):
    """What consumers took and never finished: this one's of before a restart, too."""
    cursor = b"0-0"
    while True:
        cursor, entries, gone = stream.xautoclaim(KEY, GROUP, name, IDLE_MS, cursor, count=10)
        if gone:
            missed(f"{len(gone)} that were taken and never finished have been trimmed since")
        yield from entries
        if cursor == b"0-0":
            return


def run(stream, name):
    take_over_at = 0.0
    is_gone = False
    while True:
        try:
            if is_gone:
                create(stream, "0")  # from the beginning: nobody knows better
                is_gone = False
            if time.monotonic() >= take_over_at:
                for entry_id, entry in take_over(stream, name):
                    work(json.loads(entry[b"event"]))
                    stream.xack(KEY, GROUP, entry_id)
                take_over_at = time.monotonic() + IDLE_MS / 1000
            last, entries = take(stream, name)
            for entry_id, _ in entries:
                if not follows(last, entry_id):
                    missed(f"between {last.decode()} and {entry_id.decode()}")
                last = entry_id
            for entry_id, entry in entries:
                work(json.loads(entry[b"event"]))
                stream.xack(KEY, GROUP, entry_id)
            if not entries:
                stream.xread({KEY: last}, count=1, block=BLOCK_MS)
        except redis.RedisError as error:
            if str(error).startswith("NOGROUP"):
                # Redis was emptied, or a dump of before the group was restored.
                missed("the group was gone")
                is_gone = True
                continue
            # It is away, is starting, takes no writes. Or it is the master no more: a new connection finds who is.
            print("Redis is away:", error, file=sys.stderr, flush=True)
            stream.connection_pool.disconnect()
            time.sleep(1)


if __name__ == "__main__":
    # All times end: on a dead connection there is an error, and a new one, instead of silence.
    stream = redis.from_url(os.environ["REDIS_URL"], protocol=2, socket_timeout=30, socket_keepalive=True)
    if sys.argv[1] == "create":
        create(stream, "$")
    else:
        run(stream, sys.argv[2])
