# SPDX-License-Identifier: Apache-2.0

"""Accepts webhooks of BB-MCP: checks the signature and its time, drops repetitions
and answers at once; the work is done afterwards."""

import base64
import hashlib
import hmac
import os
import queue
import threading
import time

from flask import Flask, request

MAX_BODY = 512 * 1024  # bodies have at most 256 KiB
TOLERANCE = 5 * 60  # seconds

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = MAX_BODY  # for bodies that do not say how long they are
secret = os.environ["WEBHOOK_SECRET"]
if secret.startswith("whsec_"):
    key = base64.b64decode(secret[len("whsec_"):], validate=True)
else:
    key = secret.encode()

# Remembered in memory. Use a unique key in your database for the ids and a
# queue that survives a restart: once we answered 2xx the event is ours.
events = queue.Queue(maxsize=1000)
seen = {}
lock = threading.Lock()


def verify(headers, body):
    """Check the signature over id, time and body as they arrived, in constant time.

    What was signed more than five minutes ago is refused: every attempt has a time
    of its own, so only replays are that old.
    """
    timestamp = headers.get("webhook-timestamp", "")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        return False
    if abs(time.time() - int(timestamp)) > TOLERANCE:
        return False
    signed = f"{headers.get('webhook-id', '')}.{timestamp}.".encode() + body
    expected = b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    signatures = headers.get("webhook-signature", "").encode().split(b" ")  # two during a rotation
    return any([hmac.compare_digest(expected, signature) for signature in signatures])


@app.post("/hooks/bbmcp")
def receive():
    if (request.content_length or 0) > MAX_BODY:
        return "body too large\n", 413
    body = request.get_data()
    if not verify(request.headers, body):
        return "wrong signature\n", 401
    event_id = request.headers.get("webhook-id", "")
    with lock:
        if event_id not in seen:
            try:
                events.put_nowait((event_id, request.headers.get("X-BBMCP-Event"), body))
            except queue.Full:
                return "busy\n", 503, {"Retry-After": "5"}
            seen[event_id] = True
            if len(seen) > 10_000:
                del seen[next(iter(seen))]  # the oldest
    return "", 204


def work():
    while True:
        event_id, event_type, body = events.get()
        print("processed", event_id, event_type, flush=True)  # your work goes here


threading.Thread(target=work, daemon=True).start()

if __name__ == "__main__":
    # Behind the proxy that ends TLS; in a container set HOST=0.0.0.0.
    app.run(host=os.environ.get("HOST", "127.0.0.1"), port=int(os.environ.get("PORT", "8080")))
