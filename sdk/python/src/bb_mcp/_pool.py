# SPDX-License-Identifier: Apache-2.0

"""Connections to the gateway, kept open between calls and shared by threads."""

from __future__ import annotations

import http.client
import os
import select
import ssl
import threading
from typing import List, Optional
from urllib.parse import urlsplit

from ._errors import ConfigurationError

# Connections beyond these are closed after use.
KEPT = 8


class Address:
    """Where the gateway is."""

    def __init__(self, base_url: str) -> None:
        try:
            url = urlsplit(base_url.strip())
            port = url.port
        except (ValueError, AttributeError):
            raise ConfigurationError("base_url is not a URL") from None
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ConfigurationError("base_url must be like https://webhooks.example.com")
        if url.username is not None or url.password is not None:
            raise ConfigurationError("base_url must not hold a user name or password; pass api_key")
        if url.query or url.fragment:
            raise ConfigurationError("base_url must not hold a query or a fragment")
        self.secure = url.scheme == "https"
        self.host, self.port = url.hostname, port
        self.prefix = url.path.rstrip("/")
        if self.prefix.endswith("/v1"):
            self.prefix = self.prefix[: -len("/v1")]
        host = f"[{self.host}]" if ":" in self.host else self.host
        self._text = f"{url.scheme}://{host}{f':{port}' if port else ''}{self.prefix}"

    def __str__(self) -> str:
        return self._text


class Pool:
    """Hands out connections, each to one call at a time."""

    def __init__(self, address: Address, timeout: Optional[float], context: Optional[ssl.SSLContext]) -> None:
        self._address, self._timeout, self._context = address, timeout, context
        self._lock = threading.Lock()
        self._idle: List[http.client.HTTPConnection] = []
        self._process = os.getpid()

    def take(self, fresh: bool) -> http.client.HTTPConnection:
        """An open connection that nobody else uses, or a new one to be connected."""
        while not fresh:
            with self._lock:
                self._forget_parents()
                if not self._idle:
                    break
                connection = self._idle.pop()
            if not _ended(connection):
                return connection
            connection.close()
        if self._address.secure:
            return http.client.HTTPSConnection(self._address.host, self._address.port, timeout=self._timeout, context=self._context)
        return http.client.HTTPConnection(self._address.host, self._address.port, timeout=self._timeout)

    def give_back(self, connection: http.client.HTTPConnection) -> None:
        """Keep a connection whose answer was read to its end."""
        with self._lock:
            self._forget_parents()
            if connection.sock is not None and len(self._idle) < KEPT:
                self._idle.append(connection)
                return
        connection.close()

    def close(self) -> None:
        """Close what is idle. The pool stays usable."""
        with self._lock:
            self._forget_parents()
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def __del__(self) -> None:
        self.close()

    def _forget_parents(self) -> None:
        """After a fork the connections are the parent's, which keeps them open."""
        if self._process == os.getpid():
            return
        for connection in self._idle:
            connection.close()
        self._process, self._idle = os.getpid(), []


def _ended(connection: http.client.HTTPConnection) -> bool:
    """Whether the other side has closed; it never speaks first otherwise."""
    sock = connection.sock
    if sock is None:
        return True
    try:
        if hasattr(select, "poll"):
            poll = select.poll()
            poll.register(sock, select.POLLIN)
            return bool(poll.poll(0))
        return bool(select.select([sock], [], [], 0)[0])
    except (OSError, ValueError):
        return True
