# SPDX-License-Identifier: Apache-2.0

"""What the gateway answers: objects with the REST fields as attributes.

Times are the RFC 3339 strings of the REST API; ``parse_time`` makes datetimes
of them. A field that this version does not know is an attribute all the same;
a known one that the answer lacks is None.
"""

from __future__ import annotations

import copy
import re
import reprlib
from datetime import datetime, timedelta, timezone
from typing import Any, ClassVar, Dict, List, Mapping, Optional

_TIME = re.compile(r"(\d{4}-\d\d-\d\d)[Tt](\d\d:\d\d:\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))", re.ASCII)
_HIDDEN = re.compile("secret|token|password", re.IGNORECASE)

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80
_short.maxlevel = 4
_short.maxlist = _short.maxdict = 10


def parse_time(text: str) -> datetime:
    """An RFC 3339 time such as ``webhook.created_at`` as an aware datetime.

    Digits beyond the microsecond are cut. Anything else is a ValueError.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    date, clock, fraction, sign, hours, minutes = match.groups()
    zone = timezone.utc
    if sign and (hours, minutes) != ("00", "00"):
        offset = timedelta(hours=int(hours), minutes=int(minutes))
        zone = timezone(offset if sign == "+" else -offset)
    moment = datetime.fromisoformat(f"{date}T{clock}")
    return moment.replace(microsecond=int(((fraction or "") + "000000")[:6]), tzinfo=zone)


class Resource:
    """One object of an answer. It does not change; ask again for news."""

    _nested: ClassVar[Mapping[str, type]] = {}
    __slots__ = ("_fields", "_raw", "_etag")

    def __init__(self, raw: Mapping[str, Any], etag: Optional[str] = None) -> None:
        fields = {name: _wrap(self._nested.get(name), value) for name, value in raw.items()}
        for slot, value in ("_raw", raw), ("_fields", fields), ("_etag", etag):
            object.__setattr__(self, slot, value)

    def to_dict(self) -> Dict[str, Any]:
        """The JSON object as it came, secrets included."""
        return copy.deepcopy(dict(self._raw))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if name in self._fields:
            return self._fields[name]
        if name in _declared(type(self)):
            return None
        raise AttributeError(f"{type(self).__name__} has no field {name!r}; there are: {', '.join(self._fields)}")

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} cannot be changed; use the client's methods")

    def __delattr__(self, name: str) -> None:
        self.__setattr__(name, None)

    def __repr__(self) -> str:
        shown = ((name, "'***'" if value and _HIDDEN.search(name) else _short.repr(value)) for name, value in self._fields.items())
        return f"{type(self).__name__}({', '.join(f'{name}={text}' for name, text in shown)})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and self._raw == other._raw  # type: ignore[attr-defined]

    __hash__ = None  # type: ignore[assignment]

    def __dir__(self) -> List[str]:
        return sorted({*object.__dir__(self), *self._fields, *_declared(type(self))})

    def __reduce__(self) -> Any:
        return type(self), (self._raw, self._etag)


class EndpointHealth(Resource):
    """How the endpoint of a webhook does."""

    healthy: Optional[bool]
    """``False``: no attempt has succeeded for 20 s or longer, or worse; None: nothing is known yet."""
    reason: str
    """Such as ``Delivering``, ``AttemptsFailing`` or ``DeliveriesFailing``."""
    message: str
    since: Optional[str]


class WebhookProblem(Resource):
    """What keeps a webhook from working as it is configured."""

    reason: str
    """Such as ``SecretRefused`` or ``URLForbidden``."""
    message: str
    """What is wrong and the way out."""
    since: str


class RetryPolicy(Resource):
    """When failed attempts are repeated. Durations are texts such as ``15s``."""

    delays: List[str]
    """Waits before attempts 2, 3, …; empty: one attempt."""
    timeout: str
    """How long one attempt may take."""
    jitter_percent: int


class Retention(Resource):
    """What is kept of finished deliveries; None: as the operator says."""

    succeeded: Optional[str]
    failed: Optional[str]
    max_count: Optional[int]
    record: str
    """``Always``, ``Budgeted`` or ``Never``."""


class WebhookWarning(Resource):
    """Something that was accepted and is probably a mistake."""

    field: str
    """Where, such as ``events[0]``."""
    detail: str
    reason: str


class Webhook(Resource):
    """An endpoint and what it wants to hear of."""

    _nested = {
        "endpoint_health": EndpointHealth,
        "problem": WebhookProblem,
        "retry_policy": RetryPolicy,
        "retention": Retention,
        "warnings": WebhookWarning,
    }

    webhook_id: str
    """``wh_`` and 16 hexadecimal digits."""
    name: str
    """The name of the Webhook object."""
    url: str
    events: List[str]
    """Event types, prefixes such as ``context.*``, or ``*``."""
    description: Optional[str]
    secret: Optional[str]
    """The signing secret; only in the answers of create and rotate_secret."""
    status: str
    """``active``, ``failing`` or ``disabled``."""
    suspended: bool
    """Deliveries are held; new events are collected."""
    created_at: str
    endpoint_health: EndpointHealth
    """How the endpoint does: it is unhealthy before ``status`` is ``failing``."""
    problem: Optional[WebhookProblem]
    """What keeps it from working as it is configured; None: nothing does."""
    deliveries_skipped: int
    """Deliveries that it did not get: it was disabled, or its backlog took no more."""
    last_skipped_at: Optional[str]
    deliveries_deleted_early: int
    """Failed deliveries that were deleted before ``retention.failed`` was over, for room."""
    retry_policy: RetryPolicy
    delivery_deadline: str
    """Age at which a delivery fails that has not succeeded."""
    overflow: str
    """``Skip`` or ``Refuse``."""
    retention: Retention
    warnings: Optional[List[WebhookWarning]]
    """What looks wrong, such as an event type that nobody knows; None: nothing does."""

    @property
    def etag(self) -> Optional[str]:
        """The version that was read, for ``update(..., if_match=webhook.etag)``."""
        return self._etag


class Attempt(Resource):
    """One POST and what came of it."""

    number: int
    started_at: str
    duration_ms: int
    response_status: Optional[int]
    reason: Optional[str]
    """Why it failed, such as ``Timeout`` or ``HTTPStatus``."""
    message: Optional[str]
    answer: Optional[str]
    """The beginning of the endpoint's answer."""
    retry_after: Optional[str]
    """When the endpoint asked to be tried again."""


class Delivery(Resource):
    """One event on its way to one webhook."""

    _nested = {"attempt_log": Attempt}

    delivery_id: str
    webhook_id: str
    event: str
    """The event type."""
    event_id: str
    """The header webhook-id: the receiver's idempotency key."""
    status: str
    """``pending``, ``retrying``, ``succeeded`` or ``failed``."""
    attempts: int
    """How many attempts were made."""
    response_status: Optional[int]
    error_message: Optional[str]
    created_at: str
    next_attempt_at: Optional[str]
    completed_at: Optional[str]
    attempt_log: Optional[List[Attempt]]
    """The newest attempts, oldest first; only from ``deliveries.get``."""
    payload: Optional[str]
    """The body, byte for byte as it is sent; only from ``deliveries.get``."""


class PublishedDelivery(Resource):
    """One delivery of a published event."""

    delivery_id: str
    webhook_id: str
    status: str


class SkippedWebhook(Resource):
    """A webhook that matches but gets no delivery."""

    webhook_id: str
    reason: str
    """``Disabled`` or ``BacklogFull``."""


class Published(Resource):
    """An event that cannot be lost any more."""

    _nested = {"deliveries": PublishedDelivery, "skipped": SkippedWebhook}

    event_id: str
    deliveries: List[PublishedDelivery]
    skipped: List[SkippedWebhook]


class EventType(Resource):
    """An entry of the catalogue."""

    type: str
    description: Optional[str]
    schema: Any
    """JSON Schema of ``data``; None: any object."""
    example: Any
    """The ``data`` of an example."""


class FieldError(Resource):
    """A field at fault, in an error."""

    field: str
    """Where, such as ``data.items[3].price`` or ``query.limit``."""
    detail: str
    reason: Optional[str]


def _wrap(cls: Optional[type], value: Any) -> Any:
    if cls is None or value is None:
        return value
    if isinstance(value, list):
        return [cls(one) if isinstance(one, dict) else one for one in value]
    return cls(value) if isinstance(value, dict) else value


def _declared(cls: type) -> List[str]:
    """The public fields that a class and its parents annotate."""
    return [name for parent in cls.__mro__ for name in getattr(parent, "__annotations__", {}) if not name.startswith("_")]
