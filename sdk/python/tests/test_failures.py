# SPDX-License-Identifier: Apache-2.0

"""Refusals, repetitions, and connections that break."""

import os
import shutil
import ssl
import subprocess
import tempfile
import unittest
import warnings
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate

import bb_mcp
from bb_mcp import _retry

from .gateway import BreakOff, Hang, HangUp, Refuse, ScriptedGateway, unused_port

OK = (200, {"webhook_id": "wh_1"})
PUBLISHED = (202, {"event_id": "evt_1", "deliveries": [], "skipped": []})
BUSY = (503, {"detail": "the API server is away"})


class Failing(unittest.TestCase):
    def gateway(self, *answers, key="token-1", **settings):
        gateway = ScriptedGateway(*answers)
        gateway.__enter__()
        self.addCleanup(gateway.__exit__, None, None, None)
        client = bb_mcp.Client(api_key=key, base_url=gateway.url, **settings)
        self.addCleanup(client.close)
        self.waits = []
        client._transport._sleep = self.waits.append
        return client, gateway


class Refusals(Failing):
    def test_a_problem_becomes_an_exception_that_tells_all(self):
        problem = {
            "type": "about:blank",
            "title": "Unprocessable Entity",
            "status": 422,
            "detail": "the body is not acceptable",
            "reason": "Invalid",
            "request_id": "req-7",
            "errors": [{"field": "url", "detail": "must be https", "reason": "SchemeForbidden"}],
        }
        client, gateway = self.gateway((422, problem, {"Content-Type": "application/problem+json"}))
        with self.assertRaises(bb_mcp.UnprocessableEntityError) as caught:
            client.webhooks.create(url="http://x", events=["*"])
        error = caught.exception
        self.assertIsInstance(error, bb_mcp.APIError)
        self.assertIsInstance(error, bb_mcp.BBMCPError)
        self.assertEqual((error.status, error.title, error.detail, error.reason), (422, "Unprocessable Entity", problem["detail"], "Invalid"))
        self.assertEqual((error.errors[0].field, error.errors[0].detail, error.errors[0].reason), ("url", "must be https", "SchemeForbidden"))
        self.assertEqual((error.request_id, error.retry_after, error.problem), ("req-7", None, problem))
        self.assertEqual(str(error), "422 Unprocessable Entity: the body is not acceptable (url: must be https) [request req-7]")
        self.assertEqual(len(gateway.requests), 1)

    def test_an_answer_to_a_body_that_was_not_read_counts(self):
        problem = {"status": 413, "title": "Request Entity Too Large", "detail": "more than 1048576 bytes", "reason": "TooLarge"}
        client, gateway = self.gateway(Refuse(413, problem), PUBLISHED)
        with self.assertRaises(bb_mcp.APIError) as caught:
            client.events.publish(event="context.created", data={"pad": "x" * (32 << 20)})
        self.assertEqual((caught.exception.status, caught.exception.reason), (413, "TooLarge"))
        self.assertEqual(self.waits, [], "it would be too large again")
        client.events.publish(event="context.created", data={})
        self.assertEqual(len(gateway.requests), 2, "the connection that was closed is not used again")

    def test_each_status_has_its_exception(self):
        for status, kind in {
            400: bb_mcp.BadRequestError,
            401: bb_mcp.AuthenticationError,
            403: bb_mcp.PermissionDeniedError,
            404: bb_mcp.NotFoundError,
            409: bb_mcp.ConflictError,
            412: bb_mcp.PreconditionFailedError,
            413: bb_mcp.PayloadTooLargeError,
            418: bb_mcp.APIError,
            422: bb_mcp.UnprocessableEntityError,
            429: bb_mcp.RateLimitError,
            500: bb_mcp.ServerError,
            503: bb_mcp.ServiceUnavailableError,
            599: bb_mcp.ServerError,
        }.items():
            client, _ = self.gateway((status, {"detail": "d"}), max_retries=0)
            with self.assertRaises(bb_mcp.APIError) as caught:
                client.webhooks.get("wh_1")
            self.assertIs(type(caught.exception), kind)
            self.assertEqual(caught.exception.status, status)

    def test_an_answer_that_is_not_the_gateways(self):
        client, _ = self.gateway((502, b"<html>Bad Gateway", {"Content-Type": "text/html", "X-Request-Id": "r1"}), max_retries=0)
        with self.assertRaises(bb_mcp.ServerError) as caught:
            client.webhooks.get("wh_1")
        self.assertEqual(str(caught.exception), "502 Bad Gateway [request r1]")
        for content in b"<html>", b"[]", b"\xff", b"[" * 200000:
            client, _ = self.gateway((200, content))
            with self.assertRaisesRegex(bb_mcp.InvalidResponseError, "is base_url the gateway's"):
                client.webhooks.get("wh_1")

    def test_redirects_are_not_followed(self):
        with ScriptedGateway() as elsewhere:
            for status in 301, 302, 303, 307, 308:
                client, _ = self.gateway((status, b"", {"Location": elsewhere.url}))
                with self.assertRaisesRegex(bb_mcp.APIError, "redirects are not followed"):
                    client.webhooks.get("wh_1")
            self.assertEqual(elsewhere.requests, [])

    def test_no_error_shows_the_token(self):
        client, _ = self.gateway((401, {"detail": "token expired"}), key="very-private")
        with self.assertRaises(bb_mcp.AuthenticationError) as caught:
            client.webhooks.get("wh_1")
        self.assertNotIn("very-private", f"{caught.exception!r} {caught.exception.__dict__}")


class Repetitions(Failing):
    def test_what_may_be_repeated_is_after_503(self):
        client, gateway = self.gateway(BUSY, (502, b""), (504, b""), OK)
        self.assertEqual(client.webhooks.get("wh_1").webhook_id, "wh_1")
        self.assertEqual(len(gateway.requests), 4)
        for wait, most in zip(self.waits, (0.25, 0.5, 1.0)):
            self.assertTrue(most / 2 <= wait <= most, wait)

    def test_repetitions_end(self):
        client, gateway = self.gateway(*[BUSY] * 9, max_retries=2)
        with self.assertRaisesRegex(bb_mcp.ServiceUnavailableError, "the API server is away"):
            client.webhooks.get("wh_1")
        self.assertEqual(len(gateway.requests), 3)

    def test_what_may_not_be_repeated_is_only_after_429(self):
        for call in (
            lambda client: client.webhooks.create(url="https://x", events=["*"]),
            lambda client: client.webhooks.test("wh_1", event="a"),
            lambda client: client.webhooks.retry_delivery("dlv_1"),
            lambda client: client.webhooks.update("wh_1", url="https://x", if_match='"1"'),
        ):
            client, gateway = self.gateway((429, {}), OK)
            call(client)
            self.assertEqual(len(gateway.requests), 2)
            for answer in BUSY, HangUp:
                client, gateway = self.gateway(answer, OK)
                with self.assertRaises(bb_mcp.BBMCPError):
                    call(client)
                self.assertEqual(len(gateway.requests), 1)

    def test_retry_after_is_honoured(self):
        client, gateway = self.gateway((429, {}, {"Retry-After": "7"}), OK)
        client.webhooks.get("wh_1")
        self.assertTrue(7 <= self.waits[0] <= 7.25, self.waits)
        client, gateway = self.gateway((503, {}, {"Retry-After": "61"}), OK)
        with self.assertRaises(bb_mcp.ServiceUnavailableError) as caught:
            client.webhooks.get("wh_1")
        self.assertEqual((caught.exception.retry_after, self.waits, len(gateway.requests)), (61, [], 1))

    def test_retry_after_as_a_date(self):
        self.assertEqual(_retry.parse_retry_after(formatdate(1705314600, usegmt=True), now=1705314590), 10)
        self.assertEqual(_retry.parse_retry_after(formatdate(1705314600, usegmt=True), now=1705314700), 0)
        for text in None, "", "soon", "-1", "1.5", "١":
            self.assertIsNone(_retry.parse_retry_after(text))

    def test_publish_repeats_with_the_same_id(self):
        client, gateway = self.gateway(HangUp, BUSY, (429, {}), PUBLISHED)
        client.events.publish(event="a", data={"n": 1})
        bodies = {request.body for request in gateway.requests}
        self.assertEqual((len(gateway.requests), len(bodies)), (4, 1))

    def test_rotate_secret_repeats_with_the_same_key(self):
        client, gateway = self.gateway(HangUp, BUSY, OK, OK)
        client.webhooks.rotate_secret("wh_1")
        client.webhooks.rotate_secret("wh_1")
        first, again, once_more, other = (request.headers["Idempotency-Key"] for request in gateway.requests)
        self.assertTrue(first)
        self.assertEqual((first, first), (again, once_more))
        self.assertNotEqual(first, other)

    def test_publish_that_fails_says_which_id_to_repeat_with(self):
        client, _ = self.gateway((503, {"event_id": "evt_7", "deliveries": [{"delivery_id": "dlv_1"}]}), max_retries=0)
        with self.assertRaises(bb_mcp.ServiceUnavailableError) as caught:
            client.events.publish(event="a", data={})
        self.assertEqual((caught.exception.event_id, caught.exception.deliveries[0].delivery_id), ("evt_7", "dlv_1"))
        client, gateway = self.gateway(HangUp, max_retries=0)
        with self.assertRaises(bb_mcp.APIConnectionError) as caught:
            client.events.publish(event="a", data={})
        self.assertEqual(caught.exception.event_id, gateway.requests[0].json()["id"])

    def test_delete_that_had_worked_is_no_failure(self):
        client, gateway = self.gateway(HangUp, (404, {}))
        client.webhooks.delete("wh_1")
        self.assertEqual(len(gateway.requests), 2)
        for answers in [(404, {})], [(429, {}), (404, {})]:
            client, _ = self.gateway(*answers)
            with self.assertRaises(bb_mcp.NotFoundError):
                client.webhooks.delete("wh_1")


class Tokens(Failing):
    def test_a_token_that_was_renewed_meanwhile_is_tried_once(self):
        tokens = iter(["old", "new", "newer"])
        client, gateway = self.gateway((401, {}), OK, key=lambda: next(tokens))
        client.webhooks.rotate_secret("wh_1")
        self.assertEqual([request.headers["Authorization"] for request in gateway.requests], ["Bearer old", "Bearer new"])
        tokens = iter(["a", "b", "c"])
        client, gateway = self.gateway((401, {}), (401, {}), OK, key=lambda: next(tokens))
        with self.assertRaises(bb_mcp.AuthenticationError):
            client.webhooks.get("wh_1")
        self.assertEqual(len(gateway.requests), 2)

    def test_the_same_token_is_not_tried_again(self):
        client, gateway = self.gateway((401, {}), OK, key=lambda: "same")
        with self.assertRaises(bb_mcp.AuthenticationError):
            client.webhooks.get("wh_1")
        self.assertEqual(len(gateway.requests), 1)


class Connections(Failing):
    def test_one_connection_serves_calls_that_follow_each_other(self):
        client, gateway = self.gateway(OK, (404, {}), OK)
        client.webhooks.get("wh_1")
        with self.assertRaises(bb_mcp.NotFoundError):
            client.webhooks.get("wh_2")
        client.webhooks.get("wh_1")
        self.assertEqual(len({request.client for request in gateway.requests}), 1)

    def test_a_connection_that_was_closed_meanwhile_is_not_used(self):
        client, gateway = self.gateway(OK, OK, max_retries=0)
        client.webhooks.get("wh_1")
        (idle,) = client._transport._pool._idle
        idle.sock.shutdown(2)
        client.webhooks.get("wh_1")
        self.assertEqual(len({request.client for request in gateway.requests}), 2)

    def test_an_answer_that_breaks_off_is_none(self):
        client, gateway = self.gateway(BreakOff, OK)
        self.assertEqual(client.webhooks.get("wh_1").webhook_id, "wh_1")
        client, gateway = self.gateway(BreakOff, max_retries=0)
        with self.assertRaises(bb_mcp.APIConnectionError):
            client.webhooks.get("wh_1")

    def test_threads_share_a_client(self):
        client, gateway = self.gateway(*[OK] * 400)
        with ThreadPoolExecutor(16) as threads:
            ids = list(threads.map(lambda _: client.webhooks.get("wh_1").webhook_id, range(400)))
        self.assertEqual(ids, ["wh_1"] * 400)
        self.assertLessEqual(len(client._transport._pool._idle), 8)

    @unittest.skipUnless(hasattr(os, "fork"), "needs fork")
    def test_a_child_process_opens_its_own_connections(self):
        client, gateway = self.gateway(OK, OK, OK)
        client.webhooks.get("wh_1")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the threads of this process are not the child's business
            child = os.fork()
        if child == 0:
            try:
                client.webhooks.get("wh_1")
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        client.webhooks.get("wh_1")
        parent, other, again = (request.client for request in gateway.requests)
        self.assertNotEqual(other, parent)
        self.assertEqual(again, parent)

    def test_nobody_listens(self):
        client = bb_mcp.Client(api_key="t", base_url=f"http://127.0.0.1:{unused_port()}", max_retries=2)
        waits = []
        client._transport._sleep = waits.append
        with self.assertRaisesRegex(bb_mcp.APIConnectionError, "127.0.0.1.*refused"):
            client.webhooks.create(url="https://x", events=["*"])
        self.assertEqual(len(waits), 2, "nothing was sent, so even create is tried again")

    def test_no_answer_in_time(self):
        client, gateway = self.gateway(Hang, timeout=0.2, max_retries=0)
        with self.assertRaisesRegex(bb_mcp.APITimeoutError, "no answer in time"):
            client.webhooks.get("wh_1")
        self.assertEqual(len(gateway.requests), 1)


@unittest.skipUnless(shutil.which("openssl"), "needs openssl to make a certificate")
class TLS(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.TemporaryDirectory()
        cls.cert, cls.key = (os.path.join(cls.directory.name, name) for name in ("cert.pem", "key.pem"))
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        command += ["-keyout", cls.key, "-out", cls.cert, "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
        subprocess.run(command, check=True, capture_output=True)

    @classmethod
    def tearDownClass(cls):
        cls.directory.cleanup()

    def test_a_private_authority_is_trusted_if_asked_for(self):
        with ScriptedGateway(OK, OK, tls=(self.cert, self.key)) as gateway:
            context = ssl.create_default_context(cafile=self.cert)
            for settings in {"ca_file": self.cert}, {"ssl_context": context}:
                with bb_mcp.Client(api_key="t", base_url=gateway.url, **settings) as client:
                    self.assertEqual(client.webhooks.get("wh_1").webhook_id, "wh_1")

    def test_an_unknown_authority_is_refused_before_the_token_is_sent(self):
        with ScriptedGateway(OK, tls=(self.cert, self.key)) as gateway:
            client = bb_mcp.Client(api_key="t", base_url=gateway.url)
            client._transport._sleep = lambda _: self.fail("there is no point in trying again")
            with self.assertRaisesRegex(bb_mcp.APIConnectionError, "pass ca_file"):
                client.webhooks.get("wh_1")
            self.assertEqual(gateway.requests, [])

    def test_a_certificate_of_another_name_is_refused(self):
        with ScriptedGateway(OK, tls=(self.cert, self.key)) as gateway:
            client = bb_mcp.Client(api_key="t", base_url=f"https://localhost:{gateway.port}", ca_file=self.cert)
            with self.assertRaises(bb_mcp.APIConnectionError):
                client.webhooks.get("wh_1")
            self.assertEqual(gateway.requests, [])


if __name__ == "__main__":
    unittest.main()
