# SPDX-License-Identifier: Apache-2.0

"""What each method sends, and what it makes of the answer."""

import re
import unittest
from datetime import datetime, timedelta, timezone

import bb_mcp

from .gateway import ScriptedGateway

WEBHOOK = {"webhook_id": "wh_1", "url": "https://example.com", "events": ["*"], "secret": "whsec_x", "status": "active"}
DELIVERY = {"delivery_id": "dlv_1", "webhook_id": "wh_1", "status": "pending", "attempts": 0}


class Case(unittest.TestCase):
    def gateway(self, *answers):
        gateway = ScriptedGateway(*answers)
        gateway.__enter__()
        self.addCleanup(gateway.__exit__, None, None, None)
        client = bb_mcp.Client(api_key="token-1", base_url=gateway.url)
        self.addCleanup(client.close)
        return client, gateway

    def sent(self, gateway, method, path, body=None):
        request = gateway.requests[-1]
        self.assertEqual((request.method, request.path), (method, path))
        self.assertEqual(request.json() if request.body else None, body)
        return request


class Calls(Case):
    def test_create(self):
        client, gateway = self.gateway((201, WEBHOOK, {"ETag": '"1"'}))
        webhook = client.webhooks.create(url="https://example.com", events=("context.*",), description="d", secret="s" * 16, name="orders")
        body = {"url": "https://example.com", "events": ["context.*"], "description": "d", "secret": "s" * 16, "name": "orders"}
        request = self.sent(gateway, "POST", "/v1/webhooks", body)
        self.assertEqual(request.headers["Authorization"], "Bearer token-1")
        self.assertEqual(request.headers["Content-Type"], "application/json")
        self.assertRegex(request.headers["User-Agent"], r"^bb-mcp-python/\d+\.\d+\.\d+ Python/3\.")
        self.assertEqual((webhook.webhook_id, webhook.secret, webhook.etag), ("wh_1", "whsec_x", '"1"'))

    def test_create_sends_only_what_is_given(self):
        client, gateway = self.gateway((201, WEBHOOK))
        client.webhooks.create(url="https://example.com", events=["*"])
        self.sent(gateway, "POST", "/v1/webhooks", {"url": "https://example.com", "events": ["*"]})

    def test_events_as_one_string_is_a_mistake_that_shows(self):
        client, gateway = self.gateway()
        with self.assertRaisesRegex(TypeError, r"such as \['context.created'\]"):
            client.webhooks.create(url="https://example.com", events="context.created")
        self.assertEqual(gateway.requests, [])

    def test_get_update_and_delete(self):
        client, gateway = self.gateway((200, WEBHOOK, {"ETag": '"1"'}), (200, WEBHOOK), (200, WEBHOOK), (204, b""))
        webhook = client.webhooks.get("wh_1")
        self.sent(gateway, "GET", "/v1/webhooks/wh_1")
        client.webhooks.update(webhook_id="wh_1", url="https://b.example", if_match=webhook.etag)
        request = self.sent(gateway, "PUT", "/v1/webhooks/wh_1", {"url": "https://b.example"})
        self.assertEqual(request.headers["If-Match"], '"1"')
        client.webhooks.update("wh_1", events=["a"], description="")
        request = self.sent(gateway, "PUT", "/v1/webhooks/wh_1", {"events": ["a"], "description": ""})
        self.assertIsNone(request.headers["If-Match"])
        self.assertIsNone(client.webhooks.delete("wh_1"))
        self.sent(gateway, "DELETE", "/v1/webhooks/wh_1")

    def test_settings(self):
        shown = dict(WEBHOOK, retry_policy={"delays": ["5s"], "timeout": "10s", "jitter_percent": 0})
        client, gateway = self.gateway((201, shown), (200, shown), (200, shown), (200, shown))
        webhook = client.webhooks.create(
            url="https://example.com", events=["*"], retry_policy={"delays": ["5s"]}, delivery_deadline="24h", overflow="Refuse", retention={"record": "Never"}
        )
        self.sent(gateway, "POST", "/v1/webhooks", {
            "url": "https://example.com", "events": ["*"], "retry_policy": {"delays": ["5s"]}, "delivery_deadline": "24h", "overflow": "Refuse", "retention": {"record": "Never"},
        })
        self.assertEqual(webhook.retry_policy.delays, ["5s"])
        client.webhooks.update("wh_1", retry_policy={"timeout": "20s", "delays": bb_mcp.DEFAULT}, overflow=bb_mcp.DEFAULT)
        self.sent(gateway, "PUT", "/v1/webhooks/wh_1", {"retry_policy": {"timeout": "20s", "delays": None}, "overflow": None})
        client.webhooks.update("wh_1", retry_policy=bb_mcp.DEFAULT, retention=bb_mcp.DEFAULT, delivery_deadline=bb_mcp.DEFAULT)
        self.sent(gateway, "PUT", "/v1/webhooks/wh_1", {"retry_policy": None, "retention": None, "delivery_deadline": None})
        client.webhooks.update("wh_1", retry_policy=webhook.retry_policy)
        self.sent(gateway, "PUT", "/v1/webhooks/wh_1", {"retry_policy": {"delays": ["5s"], "timeout": "10s", "jitter_percent": 0}})

    def test_verbs(self):
        client, gateway = self.gateway(*[(200, WEBHOOK)] * 4)
        for call, verb in (
            (client.webhooks.enable, "enable"),
            (client.webhooks.suspend, "suspend"),
            (client.webhooks.resume, "resume"),
            (client.webhooks.rotate_secret, "rotate-secret"),
        ):
            self.assertEqual(call("wh_1").webhook_id, "wh_1")
            self.sent(gateway, "POST", f"/v1/webhooks/wh_1/{verb}")

    def test_test_and_retry(self):
        client, gateway = self.gateway((202, DELIVERY), (202, DELIVERY), (202, DELIVERY), (202, DELIVERY))
        self.assertEqual(client.webhooks.test("wh_1", event="context.created").delivery_id, "dlv_1")
        self.sent(gateway, "POST", "/v1/webhooks/wh_1/test", {"event": "context.created"})
        client.webhooks.test("wh_1", event="context.created", data={"a": 1})
        self.sent(gateway, "POST", "/v1/webhooks/wh_1/test", {"event": "context.created", "data": {"a": 1}})
        self.assertEqual(client.webhooks.retry_delivery("dlv_1").status, "pending")
        self.sent(gateway, "POST", "/v1/deliveries/dlv_1/retry")
        client.deliveries.retry("dlv_1")
        self.sent(gateway, "POST", "/v1/deliveries/dlv_1/retry")

    def test_delivery_in_detail(self):
        client, gateway = self.gateway((200, {**DELIVERY, "attempt_log": [{"number": 1, "answer": "no"}], "payload": "{}"}))
        delivery = client.deliveries.get("dlv_1")
        self.sent(gateway, "GET", "/v1/deliveries/dlv_1")
        self.assertEqual((delivery.payload, delivery.attempt_log[0].answer), ("{}", "no"))

    def test_event_types(self):
        client, gateway = self.gateway((200, {"data": [{"type": "context.created", "schema": {"type": "object"}}], "next_cursor": None}))
        (kind,) = client.event_types.list()
        self.assertEqual((kind.type, kind.schema, kind.example), ("context.created", {"type": "object"}, None))
        self.sent(gateway, "GET", "/v1/event-types")

    def test_publish_makes_an_id(self):
        client, gateway = self.gateway(*[(202, {"event_id": "evt_1", "deliveries": [], "skipped": []})] * 2)
        client.events.publish(event="context.created", data={"b": 1, "a": 2})
        client.events.publish("context.created", {})
        ids = [request.json()["id"] for request in gateway.requests]
        for made in ids:
            self.assertTrue(re.fullmatch(r"evt_[0-7][0-9A-HJKMNP-TV-Z]{25}", made), made)
        self.assertNotEqual(*ids)
        self.assertIn(b'"data":{"b":1,"a":2}', gateway.requests[0].body)

    def test_publish_keeps_what_is_given(self):
        client, gateway = self.gateway(*[(202, {"event_id": "order-1"})] * 2)
        moment = datetime(2024, 1, 15, 12, 30, 0, 250000, tzinfo=timezone(timedelta(hours=2)))
        client.events.publish(event="a", data={}, id="order-1", timestamp=moment)
        self.sent(gateway, "POST", "/v1/events", {"event": "a", "id": "order-1", "timestamp": "2024-01-15T10:30:00.250000Z", "data": {}})
        client.events.publish(event="a", data={}, id="order-1", timestamp="2024-01-15T10:30:00Z")
        self.assertEqual(gateway.requests[-1].json()["timestamp"], "2024-01-15T10:30:00Z")

    def test_input_that_cannot_be_sent_is_refused_here(self):
        client, gateway = self.gateway()
        with self.assertRaisesRegex(ValueError, r"^data\.score: nan"):
            client.events.publish(event="a", data={"score": float("nan")})
        with self.assertRaisesRegex(ValueError, "time zone"):
            client.events.publish(event="a", data={}, timestamp=datetime(2024, 1, 15))
        for call in client.webhooks.get, client.webhooks.delete, client.webhooks.rotate_secret, client.webhooks.get_deliveries, client.deliveries.get:
            for wrong in "", ".", "..":
                with self.assertRaisesRegex(ValueError, "must be an id"):
                    call(wrong)
            with self.assertRaises(TypeError):
                call(None)
        self.assertEqual(gateway.requests, [])

    def test_an_id_never_leaves_its_segment(self):
        client, gateway = self.gateway((404, {}))
        with self.assertRaises(bb_mcp.NotFoundError):
            client.webhooks.get("../events?x=1#é")
        self.assertEqual(gateway.requests[0].path, "/v1/webhooks/..%2Fevents%3Fx%3D1%23%C3%A9")

    def test_another_namespace_and_a_path_before_v1(self):
        _, gateway = self.gateway((200, WEBHOOK), (200, {"data": [], "next_cursor": None}))
        client = bb_mcp.Client(api_key="t", base_url=gateway.url + "/hooks/", namespace="team b")
        client.webhooks.get("wh_1")
        self.sent(gateway, "GET", "/hooks/v1/webhooks/wh_1?namespace=team+b")
        list(client.webhooks.list(limit=3))
        self.sent(gateway, "GET", "/hooks/v1/webhooks?limit=3&namespace=team+b")


class Lists(Case):
    def pages(self, *pages):
        answers, number = [], 0
        for i, count in enumerate(pages):
            data = [{"webhook_id": f"wh_{number + j}"} for j in range(count)]
            number += count
            answers.append((200, {"data": data, "next_cursor": None if i == len(pages) - 1 else f"c{i}"}))
        return self.gateway(*answers)

    def test_list_pages_by_itself_and_lazily(self):
        client, gateway = self.pages(2, 2, 1)
        listing = client.webhooks.list()
        self.assertEqual(gateway.requests, [])
        webhooks = iter(listing)
        self.assertEqual([next(webhooks).webhook_id for _ in range(2)], ["wh_0", "wh_1"])
        self.assertEqual([request.path for request in gateway.requests], ["/v1/webhooks?limit=100"])
        self.assertEqual([webhook.webhook_id for webhook in webhooks], ["wh_2", "wh_3", "wh_4"])
        self.assertEqual([request.path for request in gateway.requests[1:]], ["/v1/webhooks?limit=100&cursor=c0", "/v1/webhooks?limit=100&cursor=c1"])

    def test_an_empty_page_does_not_end_a_list(self):
        client, _ = self.pages(1, 0, 1)
        self.assertEqual(len(list(client.webhooks.list())), 2)

    def test_limit_bounds_the_list_and_the_pages(self):
        client, gateway = self.pages(100, 100, 100)
        self.assertEqual(len(list(client.webhooks.list(limit=150))), 150)
        self.assertEqual([request.path for request in gateway.requests], ["/v1/webhooks?limit=100", "/v1/webhooks?limit=50&cursor=c0"])
        client, gateway = self.pages(7, 7)
        self.assertEqual(len(list(client.webhooks.list(limit=7))), 7)
        self.assertEqual(len(gateway.requests), 1)

    def test_first(self):
        client, gateway = self.pages(2, 2)
        self.assertEqual(client.webhooks.list().first().webhook_id, "wh_0")
        self.assertEqual(len(gateway.requests), 1)
        client, _ = self.pages(0)
        self.assertIsNone(client.webhooks.list().first())

    def test_a_limit_that_makes_no_sense_is_refused(self):
        client, _ = self.gateway()
        for limit in 0, -1, "10", True, 1.5:
            with self.assertRaises(ValueError, msg=limit):
                client.webhooks.list(limit=limit)

    def test_deliveries_by_state(self):
        client, gateway = self.gateway((200, {"data": [DELIVERY], "next_cursor": None}))
        (delivery,) = client.webhooks.get_deliveries("wh_1", limit=10, status="failed")
        self.assertIsInstance(delivery, bb_mcp.Delivery)
        self.sent(gateway, "GET", "/v1/webhooks/wh_1/deliveries?status=failed&limit=10")

    def test_a_cursor_that_leads_nowhere_ends_with_an_error(self):
        client, _ = self.gateway(*[(200, {"data": [WEBHOOK], "next_cursor": "same"})] * 3)
        with self.assertRaisesRegex(bb_mcp.InvalidResponseError, "same page"):
            list(client.webhooks.list())
        client, _ = self.gateway((200, {"items": []}))
        with self.assertRaisesRegex(bb_mcp.InvalidResponseError, "no list data"):
            list(client.webhooks.list())


if __name__ == "__main__":
    unittest.main()
