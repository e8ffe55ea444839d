# SPDX-License-Identifier: Apache-2.0

"""Every method, as a new user calls it, against a gateway that runs.

BBMCP_API_URL and BBMCP_API_KEY lead to it, and BBMCP_TEST_EDITOR and the like
hold tokens with one role each: go run ./test/live/run starts one.
"""

import json
import os
import pathlib
import re
import tempfile
import time
import unittest
from unittest import mock

import bb_mcp
from receiver import Receiver

README = pathlib.Path(__file__).resolve().parents[2] / "README.md"
DATA = {"context_id": "ctx_1", "agent_id": "agent", "status": "pending", "context_data": {"score": 0.95, "name": "Zürich \U0001f600"}}


def eventually(what, check, patience=30):
    """What check returns, once it is true."""
    until = time.monotonic() + patience
    while True:
        found = check()
        if found:
            return found
        if time.monotonic() > until:
            raise AssertionError(f"not after {patience} s: {what}")
        time.sleep(0.05)


class Live(unittest.TestCase):
    def setUp(self):
        self.client = bb_mcp.Client()
        self.addCleanup(self.client.close)
        self.receiver = Receiver()
        self.receiver.__enter__()
        self.addCleanup(self.receiver.__exit__, None, None, None)

    def webhook(self, events=("context.*",), **more):
        webhook = self.client.webhooks.create(url=self.receiver.url, events=events, **more)
        self.addCleanup(self.gone, webhook.webhook_id)
        self.receiver.knows(webhook.secret)
        return webhook

    def gone(self, webhook_id):
        try:
            self.client.webhooks.delete(webhook_id)
        except bb_mcp.NotFoundError:
            pass

    def publish(self, **more):
        return self.client.events.publish(**{"event": "context.created", "data": example(self.client), **more})

    def settled(self, delivery_id, status="succeeded"):
        def check():
            try:
                delivery = self.client.deliveries.get(delivery_id)
            except bb_mcp.NotFoundError:  # one that arrived at once is recorded a moment later
                return None
            return delivery if delivery.status == status else None

        return eventually(f"delivery {delivery_id} {status}", check)


def example(client):
    """Data that the catalogue's schema accepts."""
    return next(kind.example for kind in client.event_types.list() if kind.type == "context.created")


class Webhooks(Live):
    def test_create_get_list_update_delete(self):
        created = self.webhook(description="of a new user")
        self.assertRegex(created.webhook_id, r"^wh_[0-9a-f]{16}$")
        self.assertRegex(created.secret, r"^whsec_")
        self.assertEqual((created.url, created.events, created.description), (self.receiver.url, ["context.*"], "of a new user"))
        self.assertEqual((created.status, created.suspended), ("active", False))
        self.assertLess(abs(bb_mcp.parse_time(created.created_at).timestamp() - time.time()), 60)

        read = self.client.webhooks.get(created.webhook_id)
        self.assertIsNone(read.secret)
        self.assertEqual({**created.to_dict(), "secret": None}, {**read.to_dict(), "secret": None})
        self.assertIn(created.webhook_id, [webhook.webhook_id for webhook in self.client.webhooks.list()])

        changed = self.client.webhooks.update(webhook_id=created.webhook_id, events=["context.created"])
        self.assertEqual((changed.events, changed.url, changed.description), (["context.created"], created.url, "of a new user"))
        self.assertIsNone(self.client.webhooks.update(created.webhook_id, description="").description)

        self.client.webhooks.delete(created.webhook_id)
        with self.assertRaises(bb_mcp.NotFoundError) as caught:
            self.client.webhooks.get(created.webhook_id)
        self.assertTrue(caught.exception.request_id)

    def test_update_if_nobody_else_has(self):
        webhook = self.webhook()
        read = self.client.webhooks.get(webhook.webhook_id)
        self.client.webhooks.update(webhook.webhook_id, description="first", if_match=read.etag)
        with self.assertRaises(bb_mcp.PreconditionFailedError):
            self.client.webhooks.update(webhook.webhook_id, description="second", if_match=read.etag)

    def test_name_and_secret_of_ones_own(self):
        secret = "a secret of my own, long enough"
        webhook = self.webhook(name="sdk-named", secret=secret)
        self.assertEqual((webhook.name, webhook.secret), ("sdk-named", secret))
        self.publish()
        (arrived,) = self.receiver.await_posts(1)
        self.assertTrue(arrived.verified and arrived.standard)
        with self.assertRaises(bb_mcp.ConflictError):
            self.client.webhooks.create(url=self.receiver.url, events=["*"], name="sdk-named")

    def test_list_is_walked_page_by_page(self):
        names = [self.webhook(name=f"sdk-page-{i}").name for i in range(5)]
        with mock.patch("bb_mcp._paging.MAX_PAGE", 2):
            listed = [webhook.name for webhook in self.client.webhooks.list()]
        self.assertEqual([name for name in listed if name.startswith("sdk-page-")], names)
        self.assertEqual(len(list(self.client.webhooks.list(limit=3))), 3)

    def test_suspend_holds_and_resume_lets_go(self):
        webhook = self.webhook()
        self.assertTrue(self.client.webhooks.suspend(webhook.webhook_id).suspended)
        published = self.publish()
        self.assertFalse(self.client.webhooks.resume(webhook.webhook_id).suspended)
        self.receiver.await_posts(1)
        self.settled(published.deliveries[0].delivery_id)

    def test_enable_after_410(self):
        webhook = self.webhook()
        self.receiver.answers = [410]
        published = self.publish()
        self.settled(published.deliveries[0].delivery_id, "failed")
        eventually("disabled", lambda: self.client.webhooks.get(webhook.webhook_id).status == "disabled")
        again = self.publish()
        self.assertEqual([(one.webhook_id, one.reason) for one in again.skipped], [(webhook.webhook_id, "Disabled")])
        self.client.webhooks.enable(webhook.webhook_id)
        eventually("enabled", lambda: self.client.webhooks.get(webhook.webhook_id).status != "disabled")
        self.settled(self.publish().deliveries[0].delivery_id)

    def test_test_sends_the_example(self):
        webhook = self.webhook()
        delivery = self.client.webhooks.test(webhook.webhook_id, event="context.created")
        self.assertRegex(delivery.event_id, r"^test_")
        (arrived,) = self.receiver.await_posts(1)
        self.assertEqual(arrived.headers["X-BBMCP-Test"], "true")
        self.assertTrue(arrived.verified and arrived.standard)
        self.assertEqual(json.loads(arrived.body)["data"], example(self.client))
        data = {**example(self.client), "context_id": "ctx_of_mine"}
        self.client.webhooks.test(webhook.webhook_id, event="context.created", data=data)
        self.assertEqual(json.loads(self.receiver.await_posts(2)[1].body)["data"], data)

    def test_rotated_secret_takes_over_without_a_loss(self):
        webhook = self.webhook()
        rotated = self.client.webhooks.rotate_secret(webhook.webhook_id)
        self.assertRegex(rotated.secret, r"^whsec_")
        self.assertNotEqual(rotated.secret, webhook.secret)
        self.assertIsNone(self.client.webhooks.get(webhook.webhook_id).secret)

        def signed_by_both():
            count = len(self.receiver.arrived)
            self.publish()
            arrived = self.receiver.await_posts(count + 1)[-1]
            body, headers = arrived.body, arrived.headers
            signatures = headers["X-BBMCP-Signature"], headers.get("X-BBMCP-Signature-Next")
            return all(
                any(bb_mcp.verify_signature(body, signature, secret) for signature in signatures)
                and bb_mcp.verify_standard_webhook(body, headers, secret)
                for secret in (webhook.secret, rotated.secret)
            )

        eventually("both secrets sign", signed_by_both, patience=60)


class Events(Live):
    def test_published_is_delivered_as_it_was_signed(self):
        webhook = self.webhook()
        published = self.publish()
        self.assertRegex(published.event_id, r"^evt_[0-9A-Z]{26}$")
        (promised,) = [one for one in published.deliveries if one.webhook_id == webhook.webhook_id]
        (arrived,) = self.receiver.await_posts(1)
        self.assertTrue(arrived.verified, "X-BBMCP-Signature")
        self.assertTrue(arrived.standard, "webhook-signature")
        self.assertEqual(arrived.headers["webhook-id"], published.event_id)
        self.assertEqual(arrived.headers["X-BBMCP-Delivery"], promised.delivery_id)
        self.assertEqual(json.loads(arrived.body)["data"], example(self.client))

        delivery = self.settled(promised.delivery_id)
        self.assertEqual(delivery.payload.encode(), arrived.body)
        self.assertEqual((delivery.attempts, delivery.response_status, delivery.error_message), (1, 200, None))
        self.assertEqual([attempt.number for attempt in delivery.attempt_log], [1])
        self.assertFalse(bb_mcp.verify_signature(arrived.body + b" ", arrived.headers["X-BBMCP-Signature"], webhook.secret))

    def test_the_same_id_twice_is_one_delivery(self):
        webhook = self.webhook()
        event_id = f"sdk-{time.time_ns()}"
        first, second = self.publish(id=event_id), self.publish(id=event_id)
        self.assertEqual([one.delivery_id for one in first.deliveries], [one.delivery_id for one in second.deliveries])
        self.settled(first.deliveries[0].delivery_id)
        self.assertEqual(len(list(self.client.webhooks.get_deliveries(webhook.webhook_id))), 1)
        with self.assertRaises(bb_mcp.ConflictError) as caught:
            self.publish(id=event_id, data={**example(self.client), "context_id": "another"})
        self.assertEqual(caught.exception.event_id, event_id)

    def test_timestamp(self):
        self.webhook()
        self.publish(timestamp="2024-01-15T10:30:00Z")
        self.assertEqual(json.loads(self.receiver.await_posts(1)[0].body)["timestamp"], "2024-01-15T10:30:00Z")

    def test_what_the_gateway_refuses_is_told_by_field(self):
        for what, event, data in (
            ("data.n", "context.created", {**example(self.client), "n": 2**53 + 1}),
            ("data.n", "context.created", {**example(self.client), "n": -0.0}),
            ("event", "no.such.event", {}),
        ):
            with self.assertRaises(bb_mcp.APIError) as caught:
                self.client.events.publish(event=event, data=data)
            self.assertTrue(400 <= caught.exception.status < 500, caught.exception)
            self.assertEqual([one.field for one in caught.exception.errors], [what], caught.exception)

    def test_event_types(self):
        kinds = {kind.type: kind for kind in self.client.event_types.list()}
        self.assertLessEqual({"context.created", "context.confirmed", "context.failed", "verification.completed"}, set(kinds))
        self.assertEqual(kinds["context.created"].schema["type"], "object")


class Deliveries(Live):
    def test_deliveries_newest_first_and_by_state(self):
        webhook = self.webhook()
        published = [self.publish().event_id for _ in range(7)]
        eventually("all delivered", lambda: len(list(self.client.webhooks.get_deliveries(webhook.webhook_id, status="succeeded"))) == 7)
        with mock.patch("bb_mcp._paging.MAX_PAGE", 3):
            listed = [delivery.event_id for delivery in self.client.webhooks.get_deliveries(webhook.webhook_id)]
        self.assertEqual(sorted(listed), sorted(published))
        created = [bb_mcp.parse_time(delivery.created_at) for delivery in self.client.webhooks.get_deliveries(webhook.webhook_id)]
        self.assertEqual(created, sorted(created, reverse=True))
        self.assertEqual(len(list(self.client.webhooks.get_deliveries(webhook.webhook_id, limit=2))), 2)
        self.assertIsNone(self.client.webhooks.get_deliveries(webhook.webhook_id, status="failed").first())
        with self.assertRaises(bb_mcp.UnprocessableEntityError) as caught:
            list(self.client.webhooks.get_deliveries(webhook.webhook_id, status="lost"))
        self.assertEqual(caught.exception.errors[0].field, "query.status")

    def test_retry_delivery(self):
        self.webhook()
        self.receiver.answers = [500, 500]
        delivery_id = self.publish().deliveries[0].delivery_id
        failing = self.settled(delivery_id, "retrying")
        self.assertEqual((failing.response_status, failing.attempts), (500, 1))
        self.assertIsNotNone(failing.next_attempt_at)
        self.client.webhooks.retry_delivery(delivery_id)
        eventually("a second attempt", lambda: self.client.deliveries.get(delivery_id).attempts == 2, patience=4)
        self.client.deliveries.retry(delivery_id)
        delivery = self.settled(delivery_id)
        self.assertEqual([attempt.response_status for attempt in delivery.attempt_log], [500, 500, 200])
        with self.assertRaises(bb_mcp.ConflictError) as caught:
            self.client.webhooks.retry_delivery(delivery_id)
        self.assertTrue(caught.exception.detail)


class Rights(Live):
    def as_one_with(self, variable):
        client = bb_mcp.Client(api_key=os.environ[variable])
        self.addCleanup(client.close)
        return client

    def test_each_role_does_its_own(self):
        webhook = self.webhook()
        editor, publisher, viewer = (self.as_one_with(f"BBMCP_TEST_{role}") for role in ("EDITOR", "PUBLISHER", "DELIVERY_VIEWER"))
        editor.webhooks.update(webhook.webhook_id, description="edited")
        published = publisher.events.publish(event="context.created", data=example(publisher))
        delivery_id = published.deliveries[0].delivery_id
        self.settled(delivery_id)
        self.assertEqual(viewer.deliveries.get(delivery_id).event, "context.created")
        for refused in (
            lambda: publisher.webhooks.create(url=self.receiver.url, events=["*"]),
            lambda: publisher.webhooks.delete(webhook.webhook_id),
            lambda: viewer.events.publish(event="context.created", data=example(viewer)),
            lambda: viewer.webhooks.rotate_secret(webhook.webhook_id),
        ):
            with self.assertRaises(bb_mcp.PermissionDeniedError) as caught:
                refused()
            self.assertTrue(caught.exception.detail)

    def test_a_token_that_is_none(self):
        client = bb_mcp.Client(api_key="not-a-token")
        with self.assertRaises(bb_mcp.AuthenticationError):
            client.webhooks.list().first()

    def test_a_token_from_a_mounted_file(self):
        with tempfile.TemporaryDirectory() as directory:
            path = pathlib.Path(directory, "token")
            path.write_text("expired")
            settings = {name: value for name, value in os.environ.items() if name != "BBMCP_API_KEY"}
            with mock.patch.dict(os.environ, {**settings, "BBMCP_API_KEY_FILE": str(path)}, clear=True):
                client = bb_mcp.Client()
            with self.assertRaises(bb_mcp.AuthenticationError):
                client.webhooks.list().first()
            path.write_text(os.environ["BBMCP_API_KEY"] + "\n")
            client.webhooks.list().first()

    def test_another_namespace_is_refused(self):
        with self.assertRaises(bb_mcp.PermissionDeniedError):
            bb_mcp.Client(namespace="kube-system").webhooks.list().first()


class Readme(Live):
    def test_the_first_example_works(self):
        code = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL).group(1)
        self.assertIn("https://example.com/hooks/bbmcp", code)
        names = {}
        self.receiver.knows("not yet")
        with mock.patch("builtins.print") as printed:
            exec(code.replace("https://example.com/hooks/bbmcp", self.receiver.url), names)
        self.addCleanup(self.gone, names["webhook"].webhook_id)
        self.assertIn(mock.call(names["webhook"].webhook_id, names["webhook"].secret), printed.mock_calls)
        self.assertEqual(names["published"].deliveries[0].webhook_id, names["webhook"].webhook_id)
        self.receiver.await_posts(1)


if __name__ == "__main__":
    unittest.main()
