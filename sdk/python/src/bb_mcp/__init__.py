# SPDX-License-Identifier: Apache-2.0

"""Client of BB-MCP Webhooks.

    import bb_mcp

    client = bb_mcp.Client()  # BBMCP_API_URL, BBMCP_API_KEY or BBMCP_API_KEY_FILE
    webhook = client.webhooks.create(url="https://example.com/hooks", events=["context.*"])
    client.events.publish(event="context.created", data={"context_id": "ctx_1", ...})

Receivers need no client, only
``bb_mcp.verify_standard_webhook(body, headers, secret)``.
"""

from ._client import Client
from ._errors import (
    APIConnectionError,
    APIError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    BBMCPError,
    ConfigurationError,
    ConflictError,
    InvalidResponseError,
    NotFoundError,
    PayloadTooLargeError,
    PermissionDeniedError,
    PreconditionFailedError,
    RateLimitError,
    ServerError,
    ServiceUnavailableError,
    UnprocessableEntityError,
)
from ._models import (
    Attempt,
    Delivery,
    EndpointHealth,
    EventType,
    FieldError,
    Published,
    PublishedDelivery,
    Resource,
    Retention,
    RetryPolicy,
    SkippedWebhook,
    Webhook,
    WebhookProblem,
    WebhookWarning,
    parse_time,
)
from ._paging import Listing
from ._resources import DEFAULT
from ._signature import verify_signature, verify_standard_webhook
from ._version import __version__

__all__ = [
    "DEFAULT",
    "APIConnectionError",
    "APIError",
    "APITimeoutError",
    "Attempt",
    "AuthenticationError",
    "BBMCPError",
    "BadRequestError",
    "Client",
    "ConfigurationError",
    "ConflictError",
    "Delivery",
    "EndpointHealth",
    "EventType",
    "FieldError",
    "InvalidResponseError",
    "Listing",
    "NotFoundError",
    "PayloadTooLargeError",
    "PermissionDeniedError",
    "PreconditionFailedError",
    "Published",
    "PublishedDelivery",
    "RateLimitError",
    "Resource",
    "Retention",
    "RetryPolicy",
    "ServerError",
    "ServiceUnavailableError",
    "SkippedWebhook",
    "UnprocessableEntityError",
    "Webhook",
    "WebhookProblem",
    "WebhookWarning",
    "__version__",
    "parse_time",
    "verify_signature",
    "verify_standard_webhook",
]
