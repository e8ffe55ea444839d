# SPDX-License-Identifier: Apache-2.0

"""JSON out: what JSON cannot say is refused here, by the path at which it is.

Everything else goes out as it is and in its order. What the gateway does not
carry (numbers that JavaScript would change, more than 64 levels) is for the
gateway to refuse: its answer names the path too.
"""

from __future__ import annotations

import json
import math
from typing import Any, Iterator, List, Tuple

# Far more than the gateway takes, far less than Python's stack.
MAX_DEPTH = 200


def encode(body: Any) -> bytes:
    """The body as UTF-8. Raises ValueError or TypeError that name a path."""
    _check(body)
    return json.dumps(body, allow_nan=False, ensure_ascii=False, separators=(",", ":")).encode()


def _check(body: Any) -> None:
    pending: List[Tuple[str, Any, int]] = [("", body, 0)]
    while pending:
        path, value, depth = pending.pop()
        if depth > MAX_DEPTH:
            raise ValueError(f"{_shortened(path)}: more than {MAX_DEPTH} levels, or an object that contains itself")
        if isinstance(value, dict):
            pending.extend((name, member, depth + 1) for name, member in _members(path, value))
        elif isinstance(value, (list, tuple)):
            pending.extend((f"{path}[{i}]", element, depth + 1) for i, element in enumerate(value))
        else:
            _check_scalar(path, value)


def _members(path: str, value: dict) -> Iterator[Tuple[str, Any]]:
    for key, member in value.items():
        if not isinstance(key, str):
            raise TypeError(f"{path or 'body'}: the key {key!r} is {type(key).__name__}; JSON has only strings as keys")
        name = f"{path}.{key}" if path else key
        _check_text(_shortened(ascii(name)[1:-1]) + " (a key)", key)
        yield name, member


def _check_scalar(path: str, value: Any) -> None:
    if value is None or isinstance(value, int):  # bool is an int
        return
    if isinstance(value, str):
        _check_text(path, value)
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{path}: {value!r} is not a JSON number; leave it out or send null or a string")
    else:
        raise TypeError(f"{path}: {type(value).__name__} is not a JSON type; convert it first, for example with str()")


def _check_text(path: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{path}: a lone surrogate at index {error.start} is not Unicode text") from None


def _shortened(path: str) -> str:
    return path if len(path) <= 120 else path[:60] + "…" + path[-59:]
