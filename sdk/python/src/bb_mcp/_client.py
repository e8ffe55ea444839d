# SPDX-License-Identifier: Apache-2.0

"""The client: settings, and what can be called."""

from __future__ import annotations

import os
import ssl
from typing import Any, Callable, Optional, Union

from ._auth import token_source
from ._errors import ConfigurationError
from ._pool import Address
from ._resources import Deliveries, Events, EventTypes, Webhooks
from ._transport import Transport


class Client:
    """A client of one gateway. Threads may share it; make one and keep it.

    ``api_key``: the token, or a callable that returns it. Without it
    BBMCP_API_KEY, or the file that BBMCP_API_KEY_FILE names, which is read again
    when it changes.
    ``base_url``: the gateway's address; without it BBMCP_API_URL.
    ``namespace``: another namespace than the token's own.
    ``timeout``: seconds to wait for a connection, and for each piece of an answer.
    ``max_retries``: how often a call is tried again, where that is safe.
    ``ca_file``: a PEM file of the authorities to trust, instead of the system's.
    ``ssl_context``: all of TLS as you want it, instead of ``ca_file``.
    """

    webhooks: Webhooks
    """Endpoints: create, change, test."""
    deliveries: Deliveries
    """Single deliveries: look at one, retry it."""
    events: Events
    """Publish."""
    event_types: EventTypes
    """The catalogue."""

    def __init__(
        self,
        api_key: Optional[Union[str, Callable[[], str]]] = None,
        base_url: Optional[str] = None,
        *,
        namespace: Optional[str] = None,
        timeout: float = 30.0,
        max_retries: int = 3,
        ca_file: Optional[str] = None,
        ssl_context: Optional[ssl.SSLContext] = None,
    ) -> None:
        base_url = base_url or os.environ.get("BBMCP_API_URL")
        if not base_url:
            raise ConfigurationError("no address: pass base_url, or set BBMCP_API_URL")
        if not timeout > 0:
            raise ValueError("timeout must be more than 0 seconds")
        if max_retries < 0:
            raise ValueError("max_retries must be at least 0")
        self._address = Address(base_url)
        self._transport = Transport(
            self._address,
            token_source(api_key),
            namespace=namespace,
            timeout=timeout,
            max_retries=max_retries,
            context=_context(ca_file, ssl_context) if self._address.secure else None,
        )
        self.webhooks = Webhooks(self._transport)
        self.deliveries = Deliveries(self._transport)
        self.events = Events(self._transport)
        self.event_types = EventTypes(self._transport)

    def close(self) -> None:
        """Close the connections that are idle. The client stays usable."""
        self._transport.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Client(base_url={str(self._address)!r})"


def _context(ca_file: Optional[str], given: Optional[ssl.SSLContext]) -> ssl.SSLContext:
    if given is not None and ca_file is not None:
        raise ValueError("pass ca_file or ssl_context, not both")
    if given is not None:
        return given
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"ca_file {ca_file}: {error}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context
