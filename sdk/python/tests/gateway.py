# SPDX-License-Identifier: Apache-2.0

"""A server on a real socket that answers as a test tells it to."""

import json
import socket
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class HangUp:
    """Close the connection without an answer."""


class Hang:
    """Do not answer until the test is over."""


class BreakOff:
    """Begin an answer and close the connection in the middle of it."""


class Refuse:
    """Answer as soon as the header is there, and close without reading the body."""

    def __init__(self, status, content):
        self.status, self.content = status, content


class Request:
    def __init__(self, handler, body):
        self.method, self.path, self.headers = handler.command, handler.path, handler.headers
        self.client, self.body = handler.client_address, body

    def json(self):
        return json.loads(self.body)


class ScriptedGateway:
    """Use as a context manager. ``answers`` are used up in order; a request that
    finds none gets 500, which no client repeats."""

    def __init__(self, *answers, tls=None):
        self.answers, self.requests = list(answers), []
        self.over = threading.Event()
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def handle_one_request(self):
                try:
                    super().handle_one_request()
                except ConnectionError:
                    self.close_connection = True

            def answer(self):
                with outer._lock:
                    early = outer.answers.pop(0) if outer.answers and isinstance(outer.answers[0], Refuse) else None
                if early is not None:
                    text = json.dumps(early.content).encode()
                    self.send_response(early.status)
                    self.send_header("Content-Type", "application/problem+json")
                    self.send_header("Content-Length", str(len(text)))
                    self.send_header("Connection", "close")
                    self.end_headers()
                    self.wfile.write(text)
                    outer.requests.append(Request(self, b""))
                    self.close_connection = True
                    return
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with outer._lock:
                    outer.requests.append(Request(self, body))
                    said = outer.answers.pop(0) if outer.answers else (500, {"detail": "no answer is left"})
                if said is HangUp or said is Hang:
                    if said is Hang:
                        outer.over.wait(30)
                    self.close_connection = True
                    return
                if said is BreakOff:
                    self.wfile.write(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"webhook')
                    self.close_connection = True
                    return
                status, content, *headers = said
                text = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                for name, value in {"Content-Type": "application/json", **(headers[0] if headers else {})}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            do_GET = do_POST = do_PUT = do_DELETE = answer

            def log_message(self, *args):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, request, client_address):
                pass  # a client that refuses our certificate

        self._server = Server(("127.0.0.1", 0), Handler)
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.url = f"{'http' if tls is None else 'https'}://127.0.0.1:{self.port}"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self._server.shutdown()
        self._server.server_close()


def unused_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
