"""Publish each mailbox event to your Centrifugo: worker → Redis → this → Centrifugo → browsers.

REDIS_URL=redis://127.0.0.1:6379/0 python group.py create          once: from now on nothing is lost in silence
REDIS_URL=… CENTRIFUGO_URL=http://127.0.0.1:8000/api CENTRIFUGO_KEY=… python centrifugo.py relay-1
"""

import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request

import group
import redis

BUSY, BAD_REQUEST = 100, 107  # of Centrifugo's own codes: come again, and: this one will never be taken


def ask(body):
    """What Centrifugo has against it, in its own codes; 0: nothing."""
    headers = {"Content-Type": "application/json", "X-API-Key": os.environ["CENTRIFUGO_KEY"]}
    request = urllib.request.Request(os.environ["CENTRIFUGO_URL"] + "/publish", json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            said = json.load(answer)
            if said.get("error"):
                return {"code": int(said["error"]["code"]), "message": said["error"].get("message")}
            # What is neither an error nor a result comes from something between, a gateway for instance.
            return {"code": 0 if "result" in said else BUSY, "message": "an answer without a result"}
    except urllib.error.HTTPError as refused:
        return {"code": BUSY if refused.code == 429 or refused.code >= 500 else refused.code, "message": refused.reason}
    except (OSError, http.client.HTTPException, ValueError, AttributeError, TypeError, KeyError) as away:
        return {"code": BUSY, "message": str(away)}


def publish(event):
    if "mailbox" not in event["data"]:
        return  # accounts, and the bridge itself: nothing for browsers
    # What was sent twice is published once: Centrifugo remembers the key for minutes.
    key = f"{event['source']} {event['id']}"
    body = {"channel": f"mailbox:{event['data']['mailbox']}", "data": event, "idempotency_key": key}
    while (error := ask(body))["code"] == BUSY:
        print("Centrifugo is away:", error["message"], file=sys.stderr, flush=True)
        time.sleep(1)
    if error["code"] == BAD_REQUEST:
        group.missed(f"Centrifugo does not take {event['id']}: {error}")
    elif error["code"]:
        sys.exit(f"Centrifugo refuses: {error}")  # a wrong key or channel; the event stays with the group


if __name__ == "__main__":
    group.work = publish
    stream = redis.from_url(os.environ["REDIS_URL"], protocol=2, socket_timeout=30, socket_keepalive=True)
    group.run(stream, sys.argv[1])
