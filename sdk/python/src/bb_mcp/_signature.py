# SPDX-License-Identifier: Apache-2.0

"""Signatures as receivers check them: over the raw body, in constant time."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from typing import Any, Mapping, Optional, Union

Payload = Union[bytes, bytearray, memoryview, str]


def verify_signature(payload: Payload, signature: Optional[str], secret: Union[str, bytes]) -> bool:
    """Whether ``signature`` (header X-BBMCP-Signature) is that of ``payload``.

    It covers the body alone: a request that somebody has recorded and sends
    again passes, under another id too. Receivers use verify_standard_webhook.

    ``payload`` is the body exactly as it arrived, before any JSON parser.
    ``secret`` is the signing secret exactly as you hold it, ``whsec_`` included.
    A signature that is missing or malformed is False; an empty secret is a
    ValueError, because anybody could sign with it, and so is one in quotes or
    encoded, with which nothing would ever verify.
    """
    key = _secret_bytes(secret)
    body = _body_bytes(payload)
    if body is None or not isinstance(signature, (str, bytes)):
        return False
    expected = hmac.new(key, body, hashlib.sha256).hexdigest().encode()
    return hmac.compare_digest(expected, _comparable(signature))


def verify_standard_webhook(
    payload: Payload,
    headers: Mapping[str, Any],
    secret: Union[str, bytes],
    *,
    tolerance: Optional[float] = 300,
    now: Optional[float] = None,
) -> bool:
    """Whether a request is signed as Standard Webhooks 1.0.0 says.

    ``headers`` are those of the request (any mapping, in any case): webhook-id,
    webhook-timestamp and webhook-signature are looked at. An attempt that was
    signed more than ``tolerance`` seconds away from ``now`` (default: the
    clock) is refused; ``None`` accepts any time. Every attempt has a time of
    its own, so late retries pass.
    """
    key = _standard_key(_secret_bytes(secret))
    body = _body_bytes(payload)
    found = {str(name).lower(): value for name, value in headers.items()}
    identifier, timestamp, signatures = (_text(found.get("webhook-" + name)) for name in ("id", "timestamp", "signature"))
    if body is None or not identifier.isascii() or not signatures or not _is_seconds(timestamp):
        return False
    if tolerance is not None and abs((time.time() if now is None else now) - int(timestamp)) > tolerance:
        return False
    signed = b".".join([identifier.encode(), timestamp.encode(), body])
    expected = b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    matches = [hmac.compare_digest(expected, _comparable(one)) for one in signatures.split(" ")]
    return any(matches)


def _secret_bytes(secret: Union[str, bytes]) -> bytes:
    if not isinstance(secret, (str, bytes)):
        raise TypeError(f"secret must be str or bytes, not {type(secret).__name__}")
    key = secret.encode() if isinstance(secret, str) else secret
    if not key:
        raise ValueError("secret is empty")
    if len(key) > 1 and key[:1] == key[-1:] and key[:1] in b"\"'`":
        raise ValueError("secret stands in quotes, which would be part of it: remove them")
    if key.startswith(b"d2hzZWNf"):
        raise ValueError("secret is base64 of a secret that begins with whsec_: use that secret itself")
    return key


def _standard_key(secret: bytes) -> bytes:
    if not secret.startswith(b"whsec_"):
        return secret
    try:
        key = base64.b64decode(secret[len(b"whsec_") :], validate=True)
    except binascii.Error:
        key = b""
    if not key:
        raise ValueError("secret: whsec_ must be followed by base64")
    return key


def _body_bytes(payload: Payload) -> Optional[bytes]:
    if isinstance(payload, str):
        try:
            return payload.encode()
        except UnicodeEncodeError:
            return None  # a lone surrogate never was UTF-8
    if isinstance(payload, (bytes, bytearray, memoryview)):
        return bytes(payload)
    raise TypeError(f"payload must be the raw body (bytes or str), not {type(payload).__name__}")


def _comparable(signature: Union[str, bytes]) -> bytes:
    """compare_digest refuses text outside ASCII, which a stranger may send."""
    return signature.encode("utf-8", "replace") if isinstance(signature, str) else signature


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return value if isinstance(value, str) else ""


def _is_seconds(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 12
