# SPDX-License-Identifier: Apache-2.0

import copy
import pickle
import unittest
from datetime import datetime, timedelta, timezone

import bb_mcp

WEBHOOK = {
    "webhook_id": "wh_962fc807ee8f6dd9",
    "name": "orders",
    "url": "https://example.com/hooks",
    "events": ["context.*"],
    "description": None,
    "secret": "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    "status": "active",
    "suspended": False,
    "created_at": "2024-01-15T10:30:00Z",
}


class Models(unittest.TestCase):
    def test_rest_fields_are_attributes(self):
        webhook = bb_mcp.Webhook(WEBHOOK, etag='"7"')
        self.assertEqual({name: getattr(webhook, name) for name in WEBHOOK}, WEBHOOK)
        self.assertEqual(webhook.etag, '"7"')

    def test_an_absent_field_is_none_and_a_misspelt_one_an_error(self):
        webhook = bb_mcp.Webhook({"webhook_id": "wh_1"})
        self.assertIsNone(webhook.secret)
        self.assertIsNone(webhook.etag)
        with self.assertRaisesRegex(AttributeError, "Webhook has no field 'adress'; there are: webhook_id"):
            webhook.adress

    def test_a_new_field_is_kept(self):
        delivery = bb_mcp.Delivery({"delivery_id": "dlv_1", "region": {"name": "eu"}})
        self.assertEqual(delivery.region, {"name": "eu"})
        self.assertIn("region", dir(delivery))
        self.assertIn("region", repr(delivery))

    def test_repr_never_shows_a_secret(self):
        for webhook in bb_mcp.Webhook(WEBHOOK), bb_mcp.Webhook({"signing_secrets": [WEBHOOK["secret"]], "access_token": WEBHOOK["secret"]}):
            for text in repr(webhook), str(webhook), f"{webhook}", repr([webhook]):
                self.assertNotIn("C2FV", text)
        self.assertIn("secret=None", repr(bb_mcp.Webhook({"secret": None})))

    def test_repr_of_a_large_payload_is_short(self):
        self.assertLess(len(repr(bb_mcp.Delivery({"payload": "x" * 262144}))), 200)

    def test_nested_objects_have_attributes_too(self):
        delivery = bb_mcp.Delivery({"attempt_log": [{"number": 1, "response_status": 500}]})
        self.assertEqual(delivery.attempt_log[0].response_status, 500)
        published = bb_mcp.Published({"event_id": "evt_1", "deliveries": [{"delivery_id": "dlv_1"}], "skipped": [{"reason": "Disabled"}]})
        self.assertEqual((published.deliveries[0].delivery_id, published.skipped[0].reason), ("dlv_1", "Disabled"))

    def test_what_a_webhook_tells_of_itself(self):
        webhook = bb_mcp.Webhook({
            "endpoint_health": {"healthy": False, "reason": "AttemptsFailing"}, "retention": {"record": "Never"}, "warnings": [{"field": "events[0]"}],
        })
        self.assertEqual((webhook.endpoint_health.healthy, webhook.endpoint_health.reason), (False, "AttemptsFailing"))
        self.assertEqual((webhook.retention.record, webhook.retention.failed, webhook.warnings[0].field), ("Never", None, "events[0]"))
        self.assertIsNone(bb_mcp.Webhook({}).warnings)

    def test_objects_do_not_change(self):
        webhook = bb_mcp.Webhook(WEBHOOK)
        with self.assertRaisesRegex(AttributeError, "cannot be changed"):
            webhook.url = "https://elsewhere.example"
        with self.assertRaises(AttributeError):
            del webhook.url
        webhook.to_dict()["events"].append("*")
        self.assertEqual(webhook.to_dict(), WEBHOOK)

    def test_objects_are_compared_copied_and_pickled_whole(self):
        webhook = bb_mcp.Webhook(WEBHOOK, etag='"7"')
        for same in copy.copy(webhook), copy.deepcopy(webhook), pickle.loads(pickle.dumps(webhook)):
            self.assertEqual(same, webhook)
            self.assertEqual(same.etag, '"7"')
        self.assertNotEqual(webhook, bb_mcp.Webhook({**WEBHOOK, "status": "failing"}))
        self.assertNotEqual(webhook, WEBHOOK)


class ParseTime(unittest.TestCase):
    def test_reads_what_the_gateway_writes(self):
        utc = timezone.utc
        for text, want in {
            "2024-01-15T10:30:00Z": datetime(2024, 1, 15, 10, 30, tzinfo=utc),
            "2024-01-15T10:30:00.5Z": datetime(2024, 1, 15, 10, 30, 0, 500000, tzinfo=utc),
            "2024-01-15T10:30:00.123456789Z": datetime(2024, 1, 15, 10, 30, 0, 123456, tzinfo=utc),
            "2024-01-15T10:30:00+05:30": datetime(2024, 1, 15, 10, 30, tzinfo=timezone(timedelta(hours=5, minutes=30))),
            "2024-01-15T10:30:00-00:00": datetime(2024, 1, 15, 10, 30, tzinfo=utc),
        }.items():
            self.assertEqual(bb_mcp.parse_time(text), want)
            self.assertEqual(bb_mcp.parse_time(text).utcoffset(), want.utcoffset())

    def test_refuses_anything_else(self):
        for text in "", "2024-01-15", "2024-01-15T10:30:00", "2024-13-15T10:30:00Z", "2024-01-15T10:30:00Z\n", "٢٠٢٤-01-15T10:30:00Z":
            with self.assertRaises(ValueError, msg=text):
                bb_mcp.parse_time(text)


class Errors(unittest.TestCase):
    def test_errors_survive_a_process_pool(self):
        error = bb_mcp.NotFoundError(404, {"detail": "no webhook wh_1", "request_id": "r1", "errors": [{"field": "id", "detail": "unknown"}]})
        again = pickle.loads(pickle.dumps(error))
        self.assertEqual((type(again), str(again), again.errors[0].field), (bb_mcp.NotFoundError, str(error), "id"))

    def test_a_problem_of_another_shape_does_no_harm(self):
        error = bb_mcp.APIError(418, {"title": 7, "detail": ["x"], "errors": "no", "deliveries": [1]})
        self.assertEqual((error.detail, error.errors, error.deliveries), (None, [], []))


if __name__ == "__main__":
    unittest.main()
