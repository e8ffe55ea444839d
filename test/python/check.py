# SPDX-License-Identifier: Apache-2.0

"""Reads the records of test/node/generate from standard input and checks each.

Prints the failures, at most ten of a kind, then the counts; exits with 1 if
anything failed or was missing.
"""

import json
import platform
import re
import sys
from decimal import Decimal

import receiver

SHOWN = 10
SMALLEST_NORMAL = Decimal("2.2250738585072014e-308")
INDEX = re.compile(r"0|[1-9][0-9]{0,9}")
STRANGER = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


class Members(list):
    """An object as pairs, in the order of the text."""


def exact(text):
    """JSON with numbers as exact decimal values and members in their order."""
    return json.loads(text, parse_int=Decimal, parse_float=Decimal, object_pairs_hook=Members)


def enumerated(members):
    """The order in which JavaScript enumerates: integer-like keys first."""

    def rank(pair):
        is_index = INDEX.fullmatch(pair[0]) and int(pair[0]) < 2**32 - 1
        return int(pair[0]) if is_index else 2**32

    return sorted(members, key=rank)


def same_number(a, b):
    return a == b and a.is_signed() == b.is_signed()


def carried(a, b):
    """The same value; of doubles of less than full precision the same double,
    which JavaScript prints with the fewest digits that tell it from its neighbours."""
    if 0 < abs(a) < SMALLEST_NORMAL:
        return float(a) == float(b) and bool(b)
    return same_number(a, b)


def difference(a, b, path="$"):
    """What of a, as published, is not in b, as sent; None if all is."""
    if type(a) is not type(b):
        return f"{path}: {type(a).__name__} became {type(b).__name__}"
    if isinstance(a, Members):
        a = enumerated(a)
        if [key for key, _ in a] != [key for key, _ in b]:
            return f"{path}: other members or another order"
        found = (difference(x, y, f"{path}.{key}") for (key, x), (_, y) in zip(a, b))
    elif isinstance(a, list):
        if len(a) != len(b):
            return f"{path}: {len(a)} elements became {len(b)}"
        found = (difference(x, y, f"{path}[{i}]") for i, (x, y) in enumerate(zip(a, b)))
    elif isinstance(a, Decimal):
        return None if carried(a, b) else f"{path}: {a} became {b}"
    else:
        return None if a == b else f"{path}: {a!r} became {b!r}"
    return next((problem for problem in found if problem is not None), None)


def check_document(record):
    body = record["body"]
    if body.encode().decode() != body:
        return "cannot be written as UTF-8"
    if list(json.loads(body)) != ["event", "timestamp", "data"]:
        return "other members than event, timestamp, data"
    return difference(exact(record["raw"]), exact(body)[2][1])


def check_changed(record):
    """A number that was refused is one that a double cannot hold."""
    given = Decimal(record["raw"])
    if record["reason"] == "NegativeZero":
        return None if given.is_zero() and given.is_signed() else "is not -0"
    held = Decimal(repr(float(record["raw"])))  # the shortest digits, as in JavaScript
    return f"refused, but arrives as {held}" if held.is_finite() and same_number(given, held) else None


def check_signed(record):
    body, headers = record["body"].encode(), record["headers"]
    other = record["body"].replace("10:30:00Z", "10:30:01Z").encode()
    for verify in receiver.verify, receiver.verify_standard:
        for secret in record["secrets"]:
            if not verify(headers, body, secret):
                return f"{verify.__name__} refuses it"
            if verify(headers, other, secret):
                return f"{verify.__name__} accepts another body"
        if verify(headers, body, STRANGER):
            return f"{verify.__name__} accepts another secret"
    return None


CHECKS = {"document": check_document, "changed": check_changed, "signed": check_signed}


def main():
    passed, failed = dict.fromkeys(CHECKS, 0), dict.fromkeys(CHECKS, 0)
    announced = None
    for line in sys.stdin.buffer:
        record = json.loads(line)
        kind = record["kind"]
        if kind == "end":
            announced = record["records"]
            continue
        try:
            problem = CHECKS[kind](record)
        except (ValueError, KeyError, ArithmeticError) as error:
            problem = repr(error)
        if problem is None:
            passed[kind] += 1
            continue
        failed[kind] += 1
        if failed[kind] <= SHOWN:
            print(f"FAIL {kind} {record.get('raw', record.get('body'))[:100]}: {problem}")
    complaints = sum(failed.values())
    for kind in CHECKS:
        print(f"{kind}: {passed[kind]} passed, {failed[kind]} failed")
        if passed[kind] + failed[kind] == 0:
            print(f"FAIL no record of the kind {kind}")
            complaints += 1
    records = sum(passed.values()) + sum(failed.values())
    if announced != records:
        print(f"FAIL {records} records read, {announced} written")
        complaints += 1
    print(f"python {platform.python_version()} payloads: {sum(passed.values())} passed, {complaints} failed")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
