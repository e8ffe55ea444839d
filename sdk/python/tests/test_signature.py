# SPDX-License-Identifier: Apache-2.0

import base64
import unittest

from bb_mcp import verify_signature, verify_standard_webhook

BODY = b'{"event":"context.created","timestamp":"2024-01-15T10:30:00Z","data":{"context_id":"ctx_1","name":"Z\xc3\xbcrich"}}'
SECRET = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
# printf %s "$BODY" | openssl dgst -sha256 -hmac "$SECRET"
SIGNATURE = "a2049eacfe62a3f7c621f8ab04e2c301822517317240c2b4c846ee4eff4e9870"
# printf 'evt_1.1705314600.%s' "$BODY" | openssl dgst -sha256 -mac HMAC -macopt hexkey:"$(printf %s "${SECRET#whsec_}" | base64 -d | xxd -p)" -binary | base64
STANDARD = "v1,LkSHd7CN7SvIwy8Q++OBQu3yek5HzQ/DVo/QUhOU6Ug="
HEADERS = {"webhook-id": "evt_1", "webhook-timestamp": "1705314600", "webhook-signature": STANDARD}


class VerifySignature(unittest.TestCase):
    def test_accepts_what_openssl_signed(self):
        self.assertTrue(verify_signature(BODY, SIGNATURE, SECRET))

    def test_takes_the_body_in_every_form_of_the_same_bytes(self):
        for payload in BODY.decode(), bytearray(BODY), memoryview(BODY):
            self.assertTrue(verify_signature(payload, SIGNATURE, SECRET), type(payload))
        self.assertTrue(verify_signature(BODY, SIGNATURE.encode(), SECRET.encode()))

    def test_refuses_another_body_secret_or_signature(self):
        self.assertFalse(verify_signature(BODY + b"\n", SIGNATURE, SECRET))
        self.assertFalse(verify_signature(BODY.replace(b"ctx_1", b"ctx_2"), SIGNATURE, SECRET))
        self.assertFalse(verify_signature(BODY, SIGNATURE, SECRET[len("whsec_") :]))
        self.assertFalse(verify_signature(BODY, SIGNATURE, SECRET + " "))
        self.assertFalse(verify_signature(BODY, SIGNATURE.upper(), SECRET))
        self.assertFalse(verify_signature(BODY, SIGNATURE[:-1], SECRET))
        self.assertFalse(verify_signature(BODY, "sha256=" + SIGNATURE, SECRET))

    def test_refuses_what_a_stranger_may_send_without_raising(self):
        for signature in None, "", "é" * 64, "\udc80" * 64, 7, b"\xff" * 64:
            self.assertFalse(verify_signature(BODY, signature, SECRET), repr(signature))
        self.assertFalse(verify_signature("\ud800", SIGNATURE, SECRET))

    def test_a_secret_in_quotes_or_encoded_is_a_mistake_that_shows(self):
        encoded = base64.b64encode(b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").decode()
        for secret in '"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"', "'a plain secret of mine'", encoded, encoded.encode():
            with self.assertRaises(ValueError):
                verify_signature(BODY, SIGNATURE, secret)

    def test_an_empty_secret_is_a_mistake_that_shows(self):
        for secret in "", b"":
            with self.assertRaises(ValueError):
                verify_signature(BODY, SIGNATURE, secret)
        with self.assertRaises(TypeError):
            verify_signature(BODY, SIGNATURE, None)

    def test_a_parsed_body_is_a_mistake_that_shows(self):
        with self.assertRaisesRegex(TypeError, "raw body"):
            verify_signature({"event": "context.created"}, SIGNATURE, SECRET)


class VerifyStandardWebhook(unittest.TestCase):
    def verify(self, body=BODY, secret=SECRET, now=1705314600, headers=HEADERS, **more):
        return verify_standard_webhook(body, headers, secret, now=now, **more)

    def test_accepts_what_openssl_signed(self):
        self.assertTrue(self.verify())

    def test_finds_headers_in_any_case(self):
        self.assertTrue(self.verify(headers={name.title(): value for name, value in HEADERS.items()}))
        self.assertTrue(self.verify(headers={name.upper(): value.encode() for name, value in HEADERS.items()}))

    def test_one_right_signature_of_several_is_enough(self):
        other = "v1," + "A" * 43 + "="
        for signatures in f"{other} {STANDARD}", f"{STANDARD} {other}", f"v1a,x {STANDARD}":
            self.assertTrue(self.verify(headers={**HEADERS, "webhook-signature": signatures}), signatures)

    def test_refuses_another_body_id_time_secret_or_version(self):
        self.assertFalse(self.verify(body=BODY + b" "))
        self.assertFalse(self.verify(headers={**HEADERS, "webhook-id": "evt_2"}))
        self.assertFalse(self.verify(headers={**HEADERS, "webhook-timestamp": "1705314601"}))
        self.assertFalse(self.verify(secret="whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"))
        self.assertFalse(self.verify(headers={**HEADERS, "webhook-signature": STANDARD.replace("v1,", "v2,")}))

    def test_refuses_headers_that_are_missing_or_malformed(self):
        for name in HEADERS:
            self.assertFalse(self.verify(headers={k: v for k, v in HEADERS.items() if k != name}), name)
        for stamp in "", "x", "-1", "1705314600.5", "１７０５３１４６００", "9" * 400:
            self.assertFalse(self.verify(headers={**HEADERS, "webhook-timestamp": stamp}), stamp)
        self.assertFalse(self.verify(headers={**HEADERS, "webhook-id": "évt"}))

    def test_refuses_an_attempt_outside_the_tolerance(self):
        for now, accepted in (1705314900, True), (1705314901, False), (1705314300, True), (1705314299, False):
            self.assertEqual(self.verify(now=now), accepted, now)
        self.assertFalse(verify_standard_webhook(BODY, HEADERS, SECRET), "the clock is the default")
        self.assertTrue(verify_standard_webhook(BODY, HEADERS, SECRET, tolerance=None))
        self.assertFalse(self.verify(now=1705314611, tolerance=10))

    def test_a_secret_without_prefix_is_used_as_it_is(self):
        # printf 'evt_1.1705314600.%s' "$BODY" | openssl dgst -sha256 -hmac 'a plain secret of mine' -binary | base64
        headers = {**HEADERS, "webhook-signature": "v1,/hoE6tfyJ0ZqcaqkVCbCIgBg4DvhDa3bjemqx1H1QjI="}
        self.assertTrue(self.verify(secret="a plain secret of mine", headers=headers))

    def test_an_unusable_secret_is_a_mistake_that_shows(self):
        for secret in "", "whsec_", "whsec_not base64":
            with self.assertRaises(ValueError):
                self.verify(secret=secret)


if __name__ == "__main__":
    unittest.main()
