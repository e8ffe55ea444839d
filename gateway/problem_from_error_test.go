// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/gateway/publish"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/payload"
)

func TestProblemFromError(t *testing.T) {
	down := errors.New("down")
	for name, c := range map[string]struct {
		err                error
		status             int
		reason, detail     string
		retryAfter, field  string
		cause              error
		eventID            string
		class              publish.FailureClass
		deliveries, fields int
	}{
		"a namespace that is not served": {
			err:    &publish.EventError{Reason: reasonNotFound, Field: "query.namespace", Detail: "this gateway does not serve the namespace"},
			status: 404, reason: "NotFound", detail: "query.namespace: this gateway does not serve the namespace", field: "query.namespace", fields: 1,
		},
		"an event type that is not registered": {
			err:    &publish.EventError{Reason: reasonTypeNotRegistered, Field: "type", Detail: "a.b is not in the catalogue"},
			status: 422, reason: "EventTypeNotRegistered", detail: "type: a.b is not in the catalogue", field: "type", fields: 1,
		},
		"an event type whose schema cannot be used": {
			err:    &publish.EventError{Reason: reasonEventTypeInvalid, Detail: "the schema cannot be used"},
			status: 422, reason: "EventTypeInvalid", detail: "the schema cannot be used",
		},
		"a payload that is too large": {
			err:    &publish.PayloadError{Cause: &payload.Error{Reason: payload.TooLarge, Field: "payload", Detail: "too large"}, Fields: nil},
			status: 413, reason: "TooLarge", detail: "payload: too large", field: "payload", fields: 1,
		},
		"a payload whose field the publisher names otherwise": {
			err:    &publish.PayloadError{Cause: &payload.Error{Reason: payload.NotAnObject, Field: "event", Detail: "no object"}, Fields: map[string]string{"event": "type"}},
			status: 422, reason: "NotAnObject", detail: "type: no object", field: "type", fields: 1,
		},
		"an event id that is taken": {
			err: &publish.EventIDTakenError{EventID: "e1"}, class: publish.FailureConflict,
			status: 409, reason: "EventIDTaken", field: "id", fields: 1,
			detail: "id: e1 stands for another event already: event, data, or the timestamp differ, or an object of somebody else has its name; publish this one with another id",
		},
		"an event that can never fit": {
			err:    &store.QuotaError{Reason: store.QuotaExceedsLimits, Detail: "too many bytes"},
			status: 422, reason: "ExceedsLimits", detail: "too many bytes",
		},
		"a quota that is used up": {
			err: &store.QuotaError{Reason: store.QuotaNamespaceFull, Detail: "the namespace is full"}, class: publish.FailureLater,
			status: 429, reason: "NamespaceBacklogFull", detail: "the namespace is full; repeat this later", retryAfter: "10",
		},
		"a webhook whose backlog is full": {
			err: &store.QuotaError{Reason: store.QuotaWebhookFull, Detail: "the webhook is full"}, class: publish.FailureLater,
			status: 429, reason: "BacklogFull", detail: "the webhook is full; repeat this later", retryAfter: "10",
		},
		"a cluster whose backlog is full": {
			err: &store.QuotaError{Reason: store.QuotaClusterFull, Detail: "the cluster is full"}, class: publish.FailureLater,
			status: 429, reason: "ClusterBacklogFull", detail: "the cluster is full; repeat this later", retryAfter: "10",
		},
		"what is in memory may be out of date": {
			err: &store.StaleError{Cause: down}, class: publish.FailurePlatform, cause: down,
			status: 503, reason: "Unavailable", detail: "this is not possible at the moment; try again", retryAfter: "1",
		},
		"a write budget that is used up": {
			err: &publish.BudgetError{Detail: "too many writes", Wait: 3 * time.Second}, class: publish.FailureLater,
			status: 429, reason: "TooManyRequests", detail: "too many writes; repeat this later", retryAfter: "3",
		},
		"a namespace that is being deleted": {
			err: publish.TerminatingError{}, class: publish.FailureConflict,
			status: 409, reason: "NamespaceTerminating", detail: "the namespace is being deleted; nothing new is stored in it any more",
		},
		"a platform that fails": {
			err: &publish.UnavailableError{Doing: "publishing", Cause: down}, class: publish.FailurePlatform, cause: down,
			status: 503, reason: "Unavailable", detail: "publishing is not possible at the moment; try again", retryAfter: "1",
		},
		"a create without an answer": {
			err: &publish.CreateError{Cause: down}, class: publish.FailurePlatform, cause: down,
			status: 503, reason: "Unavailable", detail: "storing the deliveries is not possible at the moment; try again", retryAfter: "1",
		},
		"an event that was published in part": {
			err:   &publish.IncompleteError{Cause: &publish.CreateError{Cause: down}, EventID: "e1", Deliveries: []*store.DeliveryEntry{{ID: "d1"}}},
			class: publish.FailurePlatform, cause: down, eventID: "e1", deliveries: 1,
			status: 503, reason: "Unavailable", detail: "storing the deliveries is not possible at the moment; try again", retryAfter: "1",
		},
		"a problem": {
			err: newProblem(403, reasonForbidden, "no right"), status: 403, reason: "Forbidden", detail: "no right",
		},
		"a bug": {
			err: down, class: publish.FailurePlatform, cause: down,
			status: 500, reason: "Internal", detail: "something is wrong with the gateway; its log tells more, under the request id",
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := problemFromError(c.err)
			if got.Status != c.status || got.Reason != c.reason || got.Detail != c.detail || got.header.Get("Retry-After") != c.retryAfter {
				t.Errorf("got %d %s %q, Retry-After %q", got.Status, got.Reason, got.Detail, got.header.Get("Retry-After"))
			}
			if len(got.Errors) != c.fields || c.fields > 0 && got.Errors[0].Field != c.field {
				t.Errorf("got fields %v", got.Errors)
			}
			if !errors.Is(got.cause, c.cause) || got.EventID != c.eventID || len(got.Deliveries) != c.deliveries {
				t.Errorf("got cause %v, event %q with %d deliveries", got.cause, got.EventID, len(got.Deliveries))
			}
			if publish.ClassOf(c.err) != c.class || publish.ReasonOf(c.err) != c.reason || got.Class() != c.class {
				t.Errorf("the error has class %d and reason %s, its problem class %d", publish.ClassOf(c.err), publish.ReasonOf(c.err), got.Class())
			}
		})
	}
}
