# SPDX-License-Identifier: Apache-2.0

import os
import tempfile
import unittest
from unittest import mock

import bb_mcp
from bb_mcp._auth import token_source

URL = "http://127.0.0.1:1"


class TokenSource(unittest.TestCase):
    def test_argument_then_variable_then_file(self):
        with tempfile.TemporaryDirectory() as directory:
            path = os.path.join(directory, "token")
            with open(path, "w") as file:
                file.write("from-file\n")
            both = {"BBMCP_API_KEY": "from-variable", "BBMCP_API_KEY_FILE": path}
            self.assertEqual(token_source("given", both)(), "given")
            self.assertEqual(token_source(lambda: "called", both)(), "called")
            self.assertEqual(token_source(None, both)(), "from-variable")
            self.assertEqual(token_source(None, {"BBMCP_API_KEY_FILE": path})(), "from-file")

    def test_a_file_is_read_again_when_it_changes(self):
        with tempfile.TemporaryDirectory() as directory:
            # As kubelet does it: a link to a folder that is switched.
            for name, token in ("1", "first"), ("2", "later"):
                os.mkdir(os.path.join(directory, name))
                with open(os.path.join(directory, name, "token"), "w") as file:
                    file.write(token)
            link = os.path.join(directory, "data")
            os.symlink("1", link)
            token = token_source(None, {"BBMCP_API_KEY_FILE": os.path.join(link, "token")})
            self.assertEqual(token(), "first")
            os.symlink("2", link + ".new")
            os.replace(link + ".new", link)
            self.assertEqual(token(), "later")
            os.remove(link)
            self.assertEqual(token(), "later", "a file that is being replaced")

    def test_no_token_says_what_to_do(self):
        for environment in {}, {"BBMCP_API_KEY": ""}:
            with self.assertRaisesRegex(bb_mcp.ConfigurationError, "api_key.*BBMCP_API_KEY.*BBMCP_API_KEY_FILE"):
                token_source(None, environment)
        with self.assertRaisesRegex(bb_mcp.ConfigurationError, "No such file.*/nowhere/token"):
            token_source(None, {"BBMCP_API_KEY_FILE": "/nowhere/token"})

    def test_a_token_that_cannot_be_one_is_refused_and_not_shown(self):
        for token in "", " ", "secret\r\nX-Evil: 1", "secret token", "sécret":
            with self.assertRaises(bb_mcp.ConfigurationError) as caught:
                token_source(token)
            self.assertNotIn("cret", str(caught.exception).replace("secrets", ""))
        for token in None, 7:
            with self.assertRaises(bb_mcp.ConfigurationError):
                token_source(lambda: token)()


class Settings(unittest.TestCase):
    def test_the_environment_is_enough(self):
        with mock.patch.dict(os.environ, {"BBMCP_API_URL": URL, "BBMCP_API_KEY": "very-private"}):
            client = bb_mcp.Client()
        self.assertEqual(repr(client), "Client(base_url='http://127.0.0.1:1')")
        for part in client, client.webhooks, client._transport, client._transport._token:
            self.assertNotIn("very-private", repr(part))

    def test_no_address_says_what_to_do(self):
        with mock.patch.dict(os.environ):
            os.environ.pop("BBMCP_API_URL", None)
            with self.assertRaisesRegex(bb_mcp.ConfigurationError, "base_url.*BBMCP_API_URL"):
                bb_mcp.Client(api_key="x")

    def test_an_address_that_cannot_be_one_is_refused(self):
        for url in "webhooks.example.com", "ftp://x", "https://", "https://u:p@x", "https://x?a=b", "https://x#a", "http://x:99999", "http://[::1":
            with self.assertRaises(bb_mcp.ConfigurationError, msg=url) as caught:
                bb_mcp.Client(api_key="x", base_url=url)
            self.assertNotIn("u:p", str(caught.exception))

    def test_the_address_may_have_a_path_and_end_in_v1(self):
        for url, want in {
            "https://x/": "https://x",
            "https://x/v1": "https://x",
            "https://x:8443/hooks/v1/": "https://x:8443/hooks",
            "http://[::1]:80": "http://[::1]:80",
        }.items():
            self.assertEqual(repr(bb_mcp.Client(api_key="x", base_url=url)), f"Client(base_url={want!r})")

    def test_settings_that_make_no_sense_are_refused(self):
        for settings in {"timeout": 0}, {"max_retries": -1}, {"ca_file": "a", "ssl_context": object()}:
            with self.assertRaises(ValueError, msg=settings):
                bb_mcp.Client(api_key="x", base_url="https://x", **settings)
        with self.assertRaisesRegex(bb_mcp.ConfigurationError, "/nowhere/ca.pem"):
            bb_mcp.Client(api_key="x", base_url="https://x", ca_file="/nowhere/ca.pem")


if __name__ == "__main__":
    unittest.main()
