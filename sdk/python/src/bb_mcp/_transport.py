# SPDX-License-Identifier: Apache-2.0

"""One call: try, judge the answer, wait, try again."""

from __future__ import annotations

import http.client
import json
import logging
import platform
import socket
import ssl
import time
from typing import Any, Dict, Mapping, NamedTuple, Optional
from urllib.parse import quote, urlencode

from . import _json
from ._auth import Token
from ._errors import APIConnectionError, APIError, APITimeoutError, BBMCPError, InvalidResponseError, for_status
from ._pool import Address, Pool
from ._retry import parse_retry_after, wait_before, worth_repeating
from ._version import __version__

USER_AGENT = f"bb-mcp-python/{__version__} Python/{platform.python_version()}"
# No answer is near this; what is larger does not come from the gateway.
LARGEST_ANSWER = 64 << 20

logger = logging.getLogger("bb_mcp")


class Answer(NamedTuple):
    """What a call that worked gave back."""

    body: Dict[str, Any]
    etag: Optional[str]


class _Reply(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    content: bytes


class _Broken(Exception):
    """A try without an answer; ``sent`` if the gateway may have seen it."""

    def __init__(self, error: BBMCPError, sent: bool, hopeless: bool = False) -> None:
        super().__init__(str(error))
        self.error, self.sent, self.hopeless = error, sent, hopeless


class Transport:
    """Carries calls to one gateway. Threads may share it."""

    def __init__(
        self,
        address: Address,
        token: Token,
        *,
        namespace: Optional[str],
        timeout: Optional[float],
        max_retries: int,
        context: Optional[ssl.SSLContext],
    ) -> None:
        self._address, self._token, self._namespace, self._max_retries = address, token, namespace, max_retries
        self._pool = Pool(address, timeout, context)
        self._sleep = time.sleep

    def close(self) -> None:
        self._pool.close()

    def call(
        self,
        method: str,
        path: str,
        *,
        repeatable: bool,
        query: Optional[Mapping[str, Optional[str]]] = None,
        body: Any = None,
        headers: Optional[Mapping[str, str]] = None,
    ) -> Answer:
        """Make a call, again where that helps and, unless ``repeatable``, where
        nothing can have happened yet. Raises what _errors lists."""
        target = self._target(path, query)
        content = None if body is None else _json.encode(body)
        token = self._token()
        retries, fresh_token, uncertain = 0, False, False
        while True:
            failure: BBMCPError
            wait: Optional[float] = None
            try:
                reply = self._try(method, target, content, self._headers(token, content, headers), fresh=not repeatable)
            except _Broken as broken:
                failure, failure.__cause__ = broken.error, broken.__cause__
                if not broken.hopeless and (repeatable or not broken.sent):
                    wait = wait_before(retries + 1, None)
                uncertain = uncertain or broken.sent
            else:
                if 200 <= reply.status < 300:
                    return _read(reply)
                if reply.status == 404 and method == "DELETE" and uncertain:
                    return Answer({}, None)  # an earlier try has deleted it
                if reply.status == 401 and self._token.changes and not fresh_token:
                    fresh_token, used, token = True, token, self._token()
                    if token != used:
                        continue
                failure = refusal = _refusal(reply)
                if worth_repeating(reply.status, repeatable):
                    wait = wait_before(retries + 1, refusal.retry_after)
                    uncertain = uncertain or reply.status != 429
            if wait is None or retries == self._max_retries:
                raise failure
            retries += 1
            logger.debug("%s %s: %s; trying again in %.2f s", method, path, failure, wait)
            self._sleep(wait)

    def _target(self, path: str, query: Optional[Mapping[str, Optional[str]]]) -> str:
        given = {**(query or {}), "namespace": self._namespace}
        text = urlencode({name: value for name, value in given.items() if value is not None})
        return self._address.prefix + path + (f"?{text}" if text else "")

    def _headers(self, token: str, content: Optional[bytes], more: Optional[Mapping[str, str]]) -> Dict[str, str]:
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json", "User-Agent": USER_AGENT, **(more or {})}
        if content is not None:
            headers["Content-Type"] = "application/json"
        return headers

    def _try(self, method: str, target: str, body: Optional[bytes], headers: Dict[str, str], fresh: bool) -> _Reply:
        connection = self._pool.take(fresh)
        sent, done = False, False
        try:
            if connection.sock is None:
                connection.connect()
            sent = True
            whole = self._send(connection, method, target, body, headers)
            response = connection.getresponse()
            content = self._content(response)
            done = whole and not response.will_close
            return _Reply(response.status, response.headers, content)
        except ssl.SSLCertVerificationError as error:
            raise _Broken(self._unreachable(f"{error.verify_message}; pass ca_file if its certificate is from a private authority"), sent, True) from error
        except socket.timeout as error:
            raise _Broken(APITimeoutError(f"{self._address}: no {'answer' if sent else 'connection'} in time"), sent) from error
        except (OSError, http.client.HTTPException) as error:
            raise _Broken(self._unreachable(str(error) or type(error).__name__), sent) from error
        finally:
            if done:
                self._pool.give_back(connection)
            else:
                connection.close()

    @staticmethod
    def _send(connection: http.client.HTTPConnection, method: str, target: str, body: Optional[bytes], headers: Dict[str, str]) -> bool:
        """Send a request; False: the other end takes no more of it. It may have
        answered, as to a body that is too large; if not, reading tells so."""
        try:
            connection.request(method, target, body=body, headers=headers)
        except (BrokenPipeError, ConnectionResetError, ssl.SSLEOFError):
            if body is None:
                raise
            return False
        return True

    def _content(self, response: http.client.HTTPResponse) -> bytes:
        """All of an answer, in pieces: Python 3.9 sets aside what it is asked for."""
        pieces, size = [], 0
        while True:
            piece = response.read(64 << 10)
            if not piece:
                if response.length:
                    raise http.client.IncompleteRead(b"", response.length)
                return b"".join(pieces)
            pieces.append(piece)
            size += len(piece)
            if size > LARGEST_ANSWER:
                raise InvalidResponseError(f"{self._address} answered with more than {LARGEST_ANSWER} bytes")

    def _unreachable(self, why: str) -> APIConnectionError:
        return APIConnectionError(f"{self._address}: {why}")


def segment(name: str, value: str) -> str:
    """An id as one segment of a path."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a str, not {type(value).__name__}")
    if value in ("", ".", ".."):
        raise ValueError(f"{name} must be an id, not {value!r}")
    return quote(value, safe="")


def _read(reply: _Reply) -> Answer:
    etag = reply.headers.get("ETag")
    if not reply.content:
        return Answer({}, etag)
    body = _object(reply.content)
    if body is None:
        raise InvalidResponseError(f"{reply.status}, but the answer is not a JSON object; is base_url the gateway's?")
    return Answer(body, etag)


def _refusal(reply: _Reply) -> APIError:
    detail = None
    if 300 <= reply.status < 400:
        detail = "redirects are not followed, so that the token goes nowhere else; set base_url to where the gateway is"
    problem = _object(reply.content) if "json" in reply.headers.get("Content-Type", "") else None
    return for_status(reply.status)(
        reply.status,
        problem,
        detail=detail,
        request_id=reply.headers.get("X-Request-Id"),
        retry_after=parse_retry_after(reply.headers.get("Retry-After")),
    )


def _object(content: bytes) -> Optional[Dict[str, Any]]:
    try:
        value = json.loads(content.decode())
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
