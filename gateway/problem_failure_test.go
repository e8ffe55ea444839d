// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"
	"testing"
	"time"

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
		class              failureClass
		deliveries, fields int
	}{
		"a namespace that is not served": {
			err:    &eventError{reasonNotFound, "query.namespace", "this gateway does not serve the namespace"},
			status: 404, reason: "NotFound", detail: "query.namespace: this gateway does not serve the namespace", field: "query.namespace", fields: 1,
		},
		"an event type that is not registered": {
			err:    &eventError{reasonTypeNotRegistered, "type", "a.b is not in the catalogue"},
			status: 422, reason: "EventTypeNotRegistered", detail: "type: a.b is not in the catalogue", field: "type", fields: 1,
		},
		"an event type whose schema cannot be used": {
			err:    &eventError{reason: reasonEventTypeInvalid, detail: "the schema cannot be used"},
			status: 422, reason: "EventTypeInvalid", detail: "the schema cannot be used",
		},
		"a payload that is too large": {
			err:    &payloadError{&payload.Error{Reason: payload.TooLarge, Field: "payload", Detail: "too large"}, nil},
			status: 413, reason: "TooLarge", detail: "payload: too large", field: "payload", fields: 1,
		},
		"a payload whose field the publisher names otherwise": {
			err:    &payloadError{&payload.Error{Reason: payload.NotAnObject, Field: "event", Detail: "no object"}, map[string]string{"event": "type"}},
			status: 422, reason: "NotAnObject", detail: "type: no object", field: "type", fields: 1,
		},
		"an event id that is taken": {
			err: &eventIDTakenError{"e1"}, class: failureConflict,
			status: 409, reason: "EventIDTaken", field: "id", fields: 1,
			detail: "id: e1 stands for another event already: event, data, or the timestamp differ, or an object of somebody else has its name; publish this one with another id",
		},
		"an event that can never fit": {
			err:    &store.QuotaError{Reason: store.QuotaExceedsLimits, Detail: "too many bytes"},
			status: 422, reason: "ExceedsLimits", detail: "too many bytes",
		},
		"a quota that is used up": {
			err: &store.QuotaError{Reason: store.QuotaNamespaceFull, Detail: "the namespace is full"}, class: failureLater,
			status: 429, reason: "NamespaceBacklogFull", detail: "the namespace is full; repeat this later", retryAfter: "10",
		},
		"a webhook whose backlog is full": {
			err: &store.QuotaError{Reason: store.QuotaWebhookFull, Detail: "the webhook is full"}, class: failureLater,
			status: 429, reason: "BacklogFull", detail: "the webhook is full; repeat this later", retryAfter: "10",
		},
		"a cluster whose backlog is full": {
			err: &store.QuotaError{Reason: store.QuotaClusterFull, Detail: "the cluster is full"}, class: failureLater,
			status: 429, reason: "ClusterBacklogFull", detail: "the cluster is full; repeat this later", retryAfter: "10",
		},
		"what is in memory may be out of date": {
			err: &store.StaleError{Cause: down}, class: failurePlatform, cause: down,
			status: 503, reason: "Unavailable", detail: "this is not possible at the moment; try again", retryAfter: "1",
		},
		"a write budget that is used up": {
			err: &budgetError{"too many writes", 3 * time.Second}, class: failureLater,
			status: 429, reason: "TooManyRequests", detail: "too many writes; repeat this later", retryAfter: "3",
		},
		"a namespace that is being deleted": {
			err: terminatingError{}, class: failureConflict,
			status: 409, reason: "NamespaceTerminating", detail: "the namespace is being deleted; nothing new is stored in it any more",
		},
		"a platform that fails": {
			err: &unavailableError{"publishing", down}, class: failurePlatform, cause: down,
			status: 503, reason: "Unavailable", detail: "publishing is not possible at the moment; try again", retryAfter: "1",
		},
		"a create without an answer": {
			err: &createError{down}, class: failurePlatform, cause: down,
			status: 503, reason: "Unavailable", detail: "storing the deliveries is not possible at the moment; try again", retryAfter: "1",
		},
		"an event that was published in part": {
			err:   &publishError{cause: &createError{down}, eventID: "e1", deliveries: []*store.DeliveryEntry{{ID: "d1"}}},
			class: failurePlatform, cause: down, eventID: "e1", deliveries: 1,
			status: 503, reason: "Unavailable", detail: "storing the deliveries is not possible at the moment; try again", retryAfter: "1",
		},
		"a problem": {
			err: newProblem(403, reasonForbidden, "no right"), status: 403, reason: "Forbidden", detail: "no right",
		},
		"a bug": {
			err: down, class: failurePlatform, cause: down,
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
			if classOf(c.err) != c.class || reasonOf(c.err) != c.reason || got.class() != c.class {
				t.Errorf("the error has class %d and reason %s, its problem class %d", classOf(c.err), reasonOf(c.err), got.class())
			}
		})
	}
}
