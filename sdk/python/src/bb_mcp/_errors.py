# SPDX-License-Identifier: Apache-2.0

"""What can go wrong, as exceptions.

    BBMCPError
    ├── ConfigurationError          no token, no address: nothing was sent
    ├── APIConnectionError          no answer came
    │   └── APITimeoutError         … in time
    ├── InvalidResponseError        the answer is not the gateway's
    └── APIError                    the gateway said no
        ├── BadRequestError             400
        ├── AuthenticationError         401
        ├── PermissionDeniedError       403
        ├── NotFoundError               404
        ├── ConflictError               409
        ├── PreconditionFailedError     412
        ├── PayloadTooLargeError        413
        ├── UnprocessableEntityError    422
        ├── RateLimitError              429
        └── ServerError                 5xx
            └── ServiceUnavailableError 503

Input that cannot be sent at all (NaN, an empty id) is a ValueError or TypeError.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Dict, List, Optional, Type

from ._models import FieldError, PublishedDelivery


class BBMCPError(Exception):
    """Any failure of this package."""

    event_id: Optional[str] = None
    """Only from ``events.publish``: the id to repeat the publish with. The
    gateway makes no second delivery for it, so a repetition is always safe."""


class ConfigurationError(BBMCPError):
    """The client lacks a token or an address, or they cannot be used."""


class APIConnectionError(BBMCPError):
    """No answer came: the gateway cannot be reached, or the connection broke."""


class APITimeoutError(APIConnectionError):
    """No answer came in time."""


class InvalidResponseError(BBMCPError):
    """What answered does not seem to be the gateway."""


class APIError(BBMCPError):
    """The gateway refused the call; see RFC 9457 for the members of a problem."""

    status: int
    """The HTTP status."""
    title: str
    """The name of the status."""
    detail: Optional[str]
    """What is wrong and what to do."""
    reason: Optional[str]
    """A word for programs, such as ``NotFound``."""
    errors: List[FieldError]
    """The fields at fault, each with ``field``, ``detail`` and ``reason``."""
    request_id: Optional[str]
    """X-Request-Id: what the gateway's log knows this call by."""
    retry_after: Optional[float]
    """Seconds to wait before trying again, if the gateway said so."""
    deliveries: List[PublishedDelivery]
    """Only from ``events.publish``: the deliveries that exist already."""
    problem: Dict[str, Any]
    """The problem document as it came; empty if there was none."""

    def __init__(
        self,
        status: int,
        problem: Optional[Dict[str, Any]] = None,
        *,
        detail: Optional[str] = None,
        request_id: Optional[str] = None,
        retry_after: Optional[float] = None,
    ) -> None:
        problem = problem or {}
        self.status = status
        self.problem = problem
        self.title = _text(problem.get("title")) or _phrase(status)
        self.detail = _text(problem.get("detail")) or detail
        self.reason = _text(problem.get("reason"))
        self.errors = [FieldError(one) for one in _objects(problem.get("errors"))]
        self.request_id = _text(problem.get("request_id")) or request_id
        self.retry_after = retry_after
        self.event_id = _text(problem.get("event_id"))
        self.deliveries = [PublishedDelivery(one) for one in _objects(problem.get("deliveries"))]
        super().__init__(self._message())

    def _message(self) -> str:
        text = f"{self.status} {self.title}".rstrip()
        if self.detail:
            text += f": {self.detail}"
        known = self.detail or ""
        fields = "; ".join(f"{one.field}: {one.detail}" for one in self.errors if not (one.detail and one.detail in known))
        if fields:
            text += f" ({fields})"
        if self.request_id:
            text += f" [request {self.request_id}]"
        return text

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), self.__dict__)


class BadRequestError(APIError):
    """400: the request is malformed; ``errors`` names the fields."""


class AuthenticationError(APIError):
    """401: no token, or one that is not valid (any more)."""


class PermissionDeniedError(APIError):
    """403: the token is valid but has not the right."""


class NotFoundError(APIError):
    """404: there is no such object, or it is another namespace's."""


class ConflictError(APIError):
    """409: it exists already, is owned by somebody else, or its state forbids it."""


class PreconditionFailedError(APIError):
    """412: the object has changed since ``if_match`` was read."""


class PayloadTooLargeError(APIError):
    """413: the event is larger than may be sent."""


class UnprocessableEntityError(APIError):
    """422: well-formed, but not acceptable; ``errors`` names the fields."""


class RateLimitError(APIError):
    """429: a limit is reached; ``retry_after`` says when to come back."""


class ServerError(APIError):
    """5xx: the gateway cannot do it now."""


class ServiceUnavailableError(ServerError):
    """503: the gateway, or the API server behind it, is away."""


_BY_STATUS: Dict[int, Type[APIError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    403: PermissionDeniedError,
    404: NotFoundError,
    409: ConflictError,
    412: PreconditionFailedError,
    413: PayloadTooLargeError,
    422: UnprocessableEntityError,
    429: RateLimitError,
    503: ServiceUnavailableError,
}


def for_status(status: int) -> Type[APIError]:
    """The exception of a status."""
    return _BY_STATUS.get(status, ServerError if status >= 500 else APIError)


def _rebuild(cls: Type[APIError], state: Dict[str, Any]) -> APIError:
    """For pickle: process pools pass exceptions on."""
    error = cls.__new__(cls)
    error.__dict__.update(state)
    error.args = (error._message(),)
    return error


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _text(value: Any) -> Optional[str]:
    return value if isinstance(value, str) and value else None


def _objects(value: Any) -> List[Dict[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
