# SPDX-License-Identifier: Apache-2.0

"""Where the token comes from. It is asked for at every call and never shown."""

from __future__ import annotations

import os
import threading
from typing import Callable, Mapping, Optional, Union

from ._errors import ConfigurationError

APIKey = Union[str, Callable[[], str]]


class Token:
    """A source of the token; ``changes`` says whether it can give another one."""

    def __init__(self, read: Callable[[], str], changes: bool, source: str) -> None:
        self._read, self.changes, self._source = read, changes, source

    def __call__(self) -> str:
        """The token as it is now. Raises ConfigurationError if there is none."""
        token = self._read()
        if isinstance(token, bytes):
            token = token.decode("latin-1")
        if not isinstance(token, str):
            raise ConfigurationError(f"{self._source} gives {type(token).__name__}, not a token")
        token = token.strip()
        if not token:
            raise ConfigurationError(f"{self._source} gives an empty token")
        if not all("!" <= character <= "~" for character in token):
            raise ConfigurationError(f"{self._source} gives a token with white space or other characters that no token has")
        return token

    def __repr__(self) -> str:
        return f"Token({self._source})"


def token_source(api_key: Optional[APIKey], environment: Mapping[str, str] = os.environ) -> Token:
    """The argument, else BBMCP_API_KEY, else BBMCP_API_KEY_FILE."""
    if callable(api_key):
        return Token(api_key, changes=True, source="api_key()")
    if api_key is not None:
        given = api_key
        token = Token(lambda: given, changes=False, source="api_key")
    elif environment.get("BBMCP_API_KEY"):
        value = environment["BBMCP_API_KEY"]
        token = Token(lambda: value, changes=False, source="BBMCP_API_KEY")
    elif environment.get("BBMCP_API_KEY_FILE"):
        token = Token(_File(environment["BBMCP_API_KEY_FILE"]), changes=True, source="BBMCP_API_KEY_FILE")
    else:
        raise ConfigurationError("no token: pass api_key, or set BBMCP_API_KEY or BBMCP_API_KEY_FILE")
    token()  # a mistake shows here rather than at the first call
    return token


class _File:
    """A file that is replaced now and then, as mounted tokens are.

    It is small and read at every call: times of change are too coarse to tell
    a file replaced within one tick from the one before.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._last = ""

    def __call__(self) -> str:
        try:
            with open(self._path, encoding="latin-1") as file:
                text = file.read(1 << 20)
        except OSError as error:
            with self._lock:
                if self._last:
                    return self._last  # being replaced; if it is gone for good, the gateway says so in time
            raise ConfigurationError(f"BBMCP_API_KEY_FILE: {error.strerror}: {self._path}") from None
        with self._lock:
            if text.strip() or not self._last:
                self._last = text
            return self._last
