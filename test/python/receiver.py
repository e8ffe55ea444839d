# SPDX-License-Identifier: Apache-2.0

"""What a receiver in Python does with a request, as its author would write it."""

import base64
import hashlib
import hmac


def verify(headers, body, secret):
    """Whether one of the hex signatures is that of the body (bytes)."""
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    given = (headers.get(name, "") for name in ("x-bbmcp-signature", "x-bbmcp-signature-next"))
    return any([hmac.compare_digest(expected, signature) for signature in given])


def verify_standard(headers, body, secret):
    """The same by Standard Webhooks 1.0.0."""
    if secret.startswith("whsec_"):
        key = base64.b64decode(secret[len("whsec_"):], validate=True)
    else:
        key = secret.encode()
    signed = b".".join([headers["webhook-id"].encode(), headers["webhook-timestamp"].encode(), body])
    expected = "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    return any([hmac.compare_digest(expected, signature) for signature in headers["webhook-signature"].split(" ")])
