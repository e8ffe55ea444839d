# SPDX-License-Identifier: Apache-2.0

"""The calls of the REST API, by what they are about."""

from __future__ import annotations

import secrets
import time
from datetime import datetime, timezone
from typing import Any, Dict, Iterable, List, Mapping, Optional, Union

from ._errors import BBMCPError
from ._models import Delivery, EventType, Published, Resource, Webhook
from ._paging import Listing
from ._transport import Answer, Transport, segment

class _Default:
    """The value of a setting that nobody has set."""

    def __repr__(self) -> str:
        return "bb_mcp.DEFAULT"


DEFAULT = _Default()
"""Brings the default of a setting back: ``update(id, overflow=DEFAULT)``."""

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class _Resource:
    def __init__(self, transport: Transport) -> None:
        self._transport = transport


class Webhooks(_Resource):
    """``client.webhooks``"""

    def create(
        self,
        url: str,
        events: Iterable[str],
        *,
        name: Optional[str] = None,
        description: Optional[str] = None,
        secret: Optional[str] = None,
        retry_policy: Optional[Mapping[str, Any]] = None,
        delivery_deadline: Optional[str] = None,
        overflow: Optional[str] = None,
        retention: Optional[Mapping[str, Any]] = None,
    ) -> Webhook:
        """Create a webhook. Its ``secret`` is in this answer and no later one.

        ``events`` are event types, prefixes such as ``context.*``, or ``*``; those
        that nobody knows are in ``warnings`` of the answer. ``name`` and ``secret``
        are generated if not given. ``retry_policy`` may have ``delays`` such as
        ``["5s", "1m"]``, ``timeout`` and ``jitter_percent``, ``retention`` may have
        ``succeeded``, ``failed``, ``max_count`` and ``record``.
        """
        body = _given(url=url, events=_names(events), name=name, description=description, secret=secret)
        body.update(_settings(retry_policy=retry_policy, delivery_deadline=delivery_deadline, overflow=overflow, retention=retention))
        return _webhook(self._transport.call("POST", "/v1/webhooks", body=body, repeatable=False))

    def list(self, *, limit: Optional[int] = None) -> Listing[Webhook]:
        """All webhooks, at most ``limit`` of them: iterate over the answer."""
        return Listing(self._pages("/v1/webhooks"), Webhook, {}, limit)

    def get(self, webhook_id: str) -> Webhook:
        """One webhook."""
        return _webhook(self._transport.call("GET", _webhook_path(webhook_id), repeatable=True))

    def update(
        self,
        webhook_id: str,
        *,
        url: Optional[str] = None,
        events: Optional[Iterable[str]] = None,
        description: Optional[str] = None,
        retry_policy: Union[None, _Default, Mapping[str, Any]] = None,
        delivery_deadline: Union[None, _Default, str] = None,
        overflow: Union[None, _Default, str] = None,
        retention: Union[None, _Default, Mapping[str, Any]] = None,
        if_match: Optional[str] = None,
    ) -> Webhook:
        """Change what is given and keep the rest; an empty ``description`` removes it.

        Members that ``retry_policy`` and ``retention`` leave out are kept as well.
        ``DEFAULT``, for a setting or a member of one, brings its default back.
        With ``if_match=webhook.etag`` only if nobody has changed it since then:
        otherwise PreconditionFailedError.
        """
        body = _given(url=url, events=None if events is None else _names(events), description=description)
        body.update(_settings(retry_policy=retry_policy, delivery_deadline=delivery_deadline, overflow=overflow, retention=retention))
        headers = _given(**{"If-Match": if_match})
        return _webhook(self._transport.call("PUT", _webhook_path(webhook_id), body=body, headers=headers, repeatable=if_match is None))

    def delete(self, webhook_id: str) -> None:
        """Delete a webhook and its deliveries."""
        self._transport.call("DELETE", _webhook_path(webhook_id), repeatable=True)

    def enable(self, webhook_id: str) -> Webhook:
        """Send to a disabled webhook again."""
        return self._post(webhook_id, "enable")

    def suspend(self, webhook_id: str) -> Webhook:
        """Hold deliveries; new events are collected."""
        return self._post(webhook_id, "suspend")

    def resume(self, webhook_id: str) -> Webhook:
        """Let go what suspend held."""
        return self._post(webhook_id, "resume")

    def rotate_secret(self, webhook_id: str) -> Webhook:
        """Make a new secret; it is in this answer and no later one."""
        headers = {"Idempotency-Key": _ulid()}  # a repetition answers with the same secret
        return self._post(webhook_id, "rotate-secret", headers=headers)

    def test(self, webhook_id: str, event: str, data: Optional[Mapping[str, Any]] = None) -> Delivery:
        """Send the example of an event type, or ``data``, to this webhook only."""
        path = f"{_webhook_path(webhook_id)}/test"
        return Delivery(self._transport.call("POST", path, body=_given(event=event, data=data), repeatable=False).body)

    def get_deliveries(self, webhook_id: str, *, limit: Optional[int] = None, status: Optional[str] = None) -> Listing[Delivery]:
        """A webhook's deliveries, newest first, at most ``limit`` of them.

        ``status``: only those that are pending, retrying, succeeded or failed.
        """
        return Listing(self._pages(f"{_webhook_path(webhook_id)}/deliveries"), Delivery, {"status": status}, limit)

    def retry_delivery(self, delivery_id: str) -> Delivery:
        """Make an attempt now."""
        return Deliveries(self._transport).retry(delivery_id)

    def _pages(self, path: str) -> Any:
        return lambda query: self._transport.call("GET", path, query=query, repeatable=True).body

    def _post(self, webhook_id: str, verb: str, headers: Optional[Mapping[str, str]] = None) -> Webhook:
        return _webhook(self._transport.call("POST", f"{_webhook_path(webhook_id)}/{verb}", headers=headers, repeatable=True))


class Deliveries(_Resource):
    """``client.deliveries``"""

    def get(self, delivery_id: str) -> Delivery:
        """One delivery, with ``attempt_log`` and ``payload``."""
        return Delivery(self._transport.call("GET", f"/v1/deliveries/{segment('delivery_id', delivery_id)}", repeatable=True).body)

    def retry(self, delivery_id: str) -> Delivery:
        """Make an attempt now."""
        path = f"/v1/deliveries/{segment('delivery_id', delivery_id)}/retry"
        return Delivery(self._transport.call("POST", path, repeatable=False).body)


class Events(_Resource):
    """``client.events``"""

    def publish(
        self,
        event: str,
        data: Mapping[str, Any],
        *,
        id: Optional[str] = None,
        timestamp: Optional[Union[str, datetime]] = None,
    ) -> Published:
        """Publish an event. When this returns, it cannot be lost any more.

        ``id`` is the receivers' idempotency key, generated if not given. While
        deliveries of it exist the gateway makes no second ones, so every
        exception of this package carries the id as ``event_id``: publish again
        with it. ``timestamp``: when it happened, RFC 3339 or an aware datetime.
        """
        event_id = f"evt_{_ulid()}" if id is None else id
        body = _given(event=event, id=event_id, timestamp=_timestamp(timestamp))
        body["data"] = data
        try:
            return Published(self._transport.call("POST", "/v1/events", body=body, repeatable=True).body)
        except BBMCPError as error:
            error.event_id = error.event_id or event_id
            raise


class EventTypes(_Resource):
    """``client.event_types``"""

    def list(self) -> Listing[EventType]:
        """The catalogue: iterate over the answer."""
        return Listing(lambda query: self._transport.call("GET", "/v1/event-types", repeatable=True).body, EventType, {}, None)


def _webhook(answer: Answer) -> Webhook:
    return Webhook(answer.body, answer.etag)


def _webhook_path(webhook_id: str) -> str:
    return f"/v1/webhooks/{segment('webhook_id', webhook_id)}"


def _given(**members: Any) -> Dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def _settings(**members: Any) -> Dict[str, Any]:
    """Settings as the API takes them, where null stands for the default."""

    def spelt(value: Any) -> Any:
        if value is DEFAULT:
            return None
        if isinstance(value, Resource):
            return value.to_dict()
        if isinstance(value, Mapping):
            return {name: spelt(inner) for name, inner in value.items()}
        return value

    return {name: spelt(value) for name, value in members.items() if value is not None}


def _names(events: Iterable[str]) -> List[str]:
    if isinstance(events, (str, bytes)):
        raise TypeError(f"events must be a list of event types, such as [{events!r}]")
    return list(events)


def _timestamp(moment: Optional[Union[str, datetime]]) -> Optional[str]:
    if not isinstance(moment, datetime):
        return moment
    if moment.utcoffset() is None:
        raise ValueError("timestamp must know its time zone, such as datetime.now(timezone.utc)")
    return moment.astimezone(timezone.utc).replace(tzinfo=None).isoformat() + "Z"


def _ulid() -> str:
    """48 bits of milliseconds and 80 random ones, as 26 characters that sort by time."""
    value = int(time.time() * 1000) << 80 | secrets.randbits(80)
    return "".join(_CROCKFORD[value >> shift & 31] for shift in range(125, -1, -5))
