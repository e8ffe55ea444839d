// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/gateway/auth"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/internal/payload"
)

// readBytesAtOnce bounds the payload bytes of one namespace that are being read: two
// payloads of the largest size.
const readBytesAtOnce = 2 * payload.MaxBytes

// DeliveryPath is the path of a request for one delivery.
type DeliveryPath struct {
	Scope

	ID string `path:"id" maxLength:"64" doc:"delivery_id" example:"dlv_n4bqgyhmfwwal7qlf7xe6cbfxmk3irgc"`
}

type deliveryAnswer struct {
	Body rest.DeliveryDetail
}

type deliveriesAnswer struct {
	Body rest.DeliveryList
}

func (h *deliveryHandlers) registerDeliveryList(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "list-deliveries", Method: http.MethodGet, Path: "/v1/webhooks/{id}/deliveries", Tags: []string{"Deliveries"},
		Summary: "List the deliveries of a webhook, newest first", Description: "Needs the right to list webhookdeliveries.",
	}, h.listDeliveries)
	huma.Register(api, huma.Operation{
		OperationID: "get-delivery", Method: http.MethodGet, Path: "/v1/deliveries/{id}", Tags: []string{"Deliveries"},
		Summary: "Read a delivery with its attempts and payload", Description: "Needs the right to get webhookdeliveries.",
	}, h.getDelivery)
}

// deliveryPosition is the position in a list of deliveries at which a page ends.
type deliveryPosition struct {
	Created int64  `json:"c"` // microseconds since 1970
	Name    string `json:"n"`
}

func (h *deliveryHandlers) listDeliveries(ctx context.Context, in *struct {
	WebhookPath
	Page

	Status string `query:"status" enum:"pending,retrying,succeeded,failed" doc:"Only deliveries in this state"`
},
) (*deliveriesAnswer, error) {
	list, err := h.readDeliveryPage(ctx, in.Scope, deliveryQuery{
		kind: "deliveries", webhookID: in.ID, filters: []string{in.Status}, page: in.Page,
		matches: func(entry *store.DeliveryEntry) bool {
			return in.Status == "" || presentDeliveryState(entry.State) == in.Status
		},
	})
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	return &deliveriesAnswer{Body: *list}, nil
}

// deliveryQuery selects a page of a webhook's deliveries.
type deliveryQuery struct {
	kind      string // of the list: cursors of another kind are refused
	webhookID string
	filters   []string // that matches applies
	page      Page
	matches   func(*store.DeliveryEntry) bool
}

// readDeliveryPage reads a page of a webhook's deliveries, for a caller with the right to
// list deliveries.
func (h *deliveryHandlers) readDeliveryPage(ctx context.Context, scope Scope, query deliveryQuery) (*rest.DeliveryList, error) {
	caller, namespace, err := scope.resolveScope(ctx)
	if err != nil {
		return nil, err
	}
	if err := h.requireRight(ctx, caller, auth.Right{Verb: "list", Resource: auth.Deliveries, Namespace: namespace}); err != nil {
		return nil, err
	}
	webhook := h.webhooks.FindByID(namespace, query.webhookID)
	if webhook == nil {
		return nil, notFoundProblem("webhook")
	}
	name := strings.Join(append([]string{query.kind, namespace, query.webhookID}, query.filters...), "/")
	var after *store.DeliveryEntry
	if query.page.Cursor != "" {
		var position deliveryPosition
		if err := decodeCursor(name, query.page.Cursor, &position); err != nil {
			return nil, err
		}
		after = &store.DeliveryEntry{Created: time.UnixMicro(position.Created), Name: position.Name}
	}
	list := &rest.DeliveryList{Data: []rest.Delivery{}}
	found := h.deliveries.ListByWebhook(namespace, webhook.Name, after, query.page.Limit+1, query.matches)
	for i, entry := range found {
		if i == query.page.Limit {
			last := found[i-1]
			list.NextCursor = encodeCursor(name, deliveryPosition{Created: last.Created.UnixMicro(), Name: last.Name})
			break
		}
		list.Data = append(list.Data, presentDelivery(entry))
	}
	return list, nil
}

func (h *deliveryHandlers) getDelivery(ctx context.Context, in *DeliveryPath) (*deliveryAnswer, error) {
	entry, err := h.findPermittedDelivery(ctx, in, "get")
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	delivery, err := h.readLiveDelivery(ctx, types.NamespacedName{Namespace: entry.Namespace, Name: entry.Name})
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	return &deliveryAnswer{Body: presentDeliveryDetail(delivery, h.now())}, nil
}

// findPermittedDelivery returns the delivery of a request, if the caller may use the verb
// on it. A caller without the right does not learn whether the delivery exists.
func (h *deliveryHandlers) findPermittedDelivery(ctx context.Context, in *DeliveryPath, verb string) (*store.DeliveryEntry, error) {
	caller, namespace, err := in.resolveScope(ctx)
	if err != nil {
		return nil, err
	}
	entry := h.deliveries.Find(namespace, in.ID)
	name := in.ID
	if entry != nil {
		name = entry.Name
	}
	if err := h.requireRightOnObject(ctx, caller, auth.Right{Verb: verb, Resource: auth.Deliveries, Namespace: namespace, Name: name}); err != nil {
		return nil, err
	}
	if entry == nil {
		return nil, notFoundProblem("delivery")
	}
	return entry, nil
}

// readLiveDelivery reads a delivery with its payload from the API server.
func (h *deliveryHandlers) readLiveDelivery(ctx context.Context, key types.NamespacedName) (*v1alpha1.WebhookDelivery, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	size := 0
	if entry, ok := h.deliveries.Get(key); ok {
		size = int(entry.Bytes)
	}
	release, err := h.reads.Acquire(ctx, key.Namespace, size)
	if err != nil {
		return nil, unavailableProblem("reading the delivery", err)
	}
	defer release()
	var delivery v1alpha1.WebhookDelivery
	err = h.client.Get(ctx, key, &delivery)
	if apierrors.IsNotFound(err) {
		return nil, notFoundProblem("delivery")
	}
	if err != nil {
		return nil, unavailableProblem("reading the delivery", err)
	}
	return &delivery, nil
}

func presentDeliveryState(state v1alpha1.DeliveryState) string {
	if state == "" {
		return rest.DeliveryPending
	}
	return strings.ToLower(string(state))
}

func presentDelivery(entry *store.DeliveryEntry) rest.Delivery {
	return rest.Delivery{
		DeliveryID: entry.ID, WebhookID: identity.WebhookID(entry.Namespace, entry.Webhook),
		Event: entry.EventType, EventID: entry.EventID, Status: presentDeliveryState(entry.State), Attempts: int(entry.Attempts),
		ResponseStatus: nullableNumber(entry.ResponseStatus), ErrorMessage: nullableText(entry.ErrorMessage),
		CreatedAt: entry.Created, NextAttemptAt: nullableTime(entry.NextAttempt), CompletedAt: nullableTime(entry.Completed),
	}
}

func presentDeliveryDetail(delivery *v1alpha1.WebhookDelivery, now time.Time) rest.DeliveryDetail {
	detail := rest.DeliveryDetail{
		Delivery: presentDelivery(store.NewDeliveryEntry(delivery, now)), AttemptLog: []rest.Attempt{}, Payload: delivery.Spec.Payload,
	}
	log := delivery.Status.AttemptLog
	if first := delivery.Spec.FirstAttempt; first != nil && len(log) == 0 { // the controller has not copied it yet
		log = []v1alpha1.Attempt{*first}
	}
	for _, entry := range log {
		detail.AttemptLog = append(detail.AttemptLog, rest.Attempt{
			Number: int(entry.Number), StartedAt: entry.StartTime.UTC(), DurationMS: entry.DurationMilliseconds,
			ResponseStatus: nullableNumber(entry.ResponseStatus), Reason: nullableText(entry.Reason), Message: nullableText(entry.Message),
			Answer: nullableText(entry.Answer), RetryAfter: nullableTime(entry.RetryAfterTime),
		})
	}
	return detail
}
