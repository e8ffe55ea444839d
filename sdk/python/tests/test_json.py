# SPDX-License-Identifier: Apache-2.0

import json
import unittest
from datetime import date
from decimal import Decimal

from bb_mcp._json import encode


class Encode(unittest.TestCase):
    def test_passes_on_values_and_order_as_they_are(self):
        body = {"z": 1, "a": [True, None, 1.5, "ü\U0001f600\u2028", -0.0, 2**53 + 1], "10": {}, "2": (1, 2)}
        text = encode(body).decode()
        self.assertEqual(json.loads(text), {**body, "2": [1, 2]})
        self.assertEqual(list(json.loads(text)), ["z", "a", "10", "2"])
        self.assertIn("9007199254740993", text)
        self.assertIn("-0.0", text)

    def refused(self, error, pattern, body):
        with self.assertRaisesRegex(error, pattern):
            encode(body)

    def test_what_json_cannot_say_is_refused_by_its_path(self):
        for number in float("nan"), float("inf"), float("-inf"):
            self.refused(ValueError, r"^data\.items\[1\]\.price: (nan|-?inf) is not a JSON number", {"data": {"items": [{}, {"price": number}]}})
        self.refused(ValueError, r"^data\.note: a lone surrogate at index 1 ", {"data": {"note": "a\ud800"}})
        self.refused(ValueError, r"^data\.\\ud800 \(a key\): a lone surrogate", {"data": {"\ud800": 1}})
        self.refused(TypeError, r"^data: the key 1 is int", {"data": {1: "a", "1": "b"}})
        self.refused(TypeError, r"^data\.when: date is not a JSON type", {"data": {"when": date(2024, 1, 15)}})
        self.refused(TypeError, r"^data\.price: Decimal is not", {"data": {"price": Decimal("0.95")}})
        self.refused(TypeError, r"^data\.body: bytes is not", {"data": {"body": b"x"}})

    def test_what_contains_itself_is_refused(self):
        endless = []
        endless.append(endless)
        self.refused(ValueError, r"^data\[0\]\[0\].*: more than 200 levels", {"data": endless})

    def test_what_is_deeper_than_the_gateway_takes_is_passed_on(self):
        deep = None
        for _ in range(100):
            deep = [deep]
        self.assertEqual(json.loads(encode({"data": deep})), {"data": deep})


if __name__ == "__main__":
    unittest.main()
