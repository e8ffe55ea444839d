# SPDX-License-Identifier: Apache-2.0

"""When a call is tried again, and how long to wait before."""

from __future__ import annotations

import random
import time
from email.utils import parsedate_to_datetime
from typing import Optional

FIRST_WAIT = 0.25
LONGEST_WAIT = 8.0
# What the gateway asks for is waited for up to here; beyond, the caller decides.
LONGEST_RETRY_AFTER = 60.0

# Answers that say nothing about the call, only about the moment.
_PASSING = frozenset({502, 503, 504})


def worth_repeating(status: int, repeatable: bool) -> bool:
    """Whether an answer invites another try.

    429 says that nothing was done. The others may come after something was,
    so only a call that may be repeated is.
    """
    return status == 429 or (repeatable and status in _PASSING)


def wait_before(retry: int, retry_after: Optional[float]) -> Optional[float]:
    """Seconds before the ``retry``-th repetition (from 1); None: do not wait for it.

    Waits double and are spread at random, so that clients do not come back all
    at once; never sooner than ``retry_after``.
    """
    wait = min(LONGEST_WAIT, FIRST_WAIT * 2 ** (retry - 1)) * random.uniform(0.5, 1)
    if retry_after is None:
        return wait
    if retry_after > LONGEST_RETRY_AFTER:
        return None
    return retry_after + wait


def parse_retry_after(value: Optional[str], now: Optional[float] = None) -> Optional[float]:
    """Retry-After (RFC 9110, section 10.2.3) in seconds; None if it has none."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return float(text[:10])
    try:
        moment = parsedate_to_datetime(text)
        return max(0.0, moment.timestamp() - (time.time() if now is None else now))
    except (TypeError, ValueError, IndexError, OverflowError):
        return None
