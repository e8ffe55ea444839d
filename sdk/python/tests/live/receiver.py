# SPDX-License-Identifier: Apache-2.0

"""A receiver on a real socket, as a user of the SDK would write one."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import bb_mcp


class Arrived:
    """One POST: what came, and whether bb_mcp says that it is signed."""

    def __init__(self, headers, body, secret):
        self.headers, self.body = headers, body
        self.verified = bb_mcp.verify_signature(body, headers.get("X-BBMCP-Signature"), secret)
        self.standard = bb_mcp.verify_standard_webhook(body, headers, secret)


class Receiver:
    """Answers 200 unless told otherwise; use it as a context manager."""

    def __init__(self):
        self.secret, self.arrived, self.answers = "", [], []
        self._changed = threading.Condition()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                with outer._changed:
                    # create answers before the test can tell us the secret.
                    outer._changed.wait_for(lambda: outer.secret, 10)
                    outer.arrived.append(Arrived(self.headers, body, outer.secret or "none"))
                    status = outer.answers.pop(0) if outer.answers else 200
                    outer._changed.notify_all()
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hooks/bbmcp"

    def knows(self, secret):
        with self._changed:
            self.secret = secret
            self._changed.notify_all()

    def await_posts(self, count, patience=30):
        """The posts, once there are so many."""
        with self._changed:
            if not self._changed.wait_for(lambda: len(self.arrived) >= count, patience):
                raise AssertionError(f"{len(self.arrived)} of {count} posts arrived in {patience} s")
            return list(self.arrived)

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()
