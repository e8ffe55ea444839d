// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"net/http"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dashboard"
	"bbmcp.quietstack.com/webhooks/gateway/auth"
	"bbmcp.quietstack.com/webhooks/gateway/publish"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/settings"
)

// dashboardBackend implements the queries of the dashboard that the REST API lacks. Each
// method requires the right that the corresponding operation of the REST API requires.
type dashboardBackend struct {
	handlers

	store       *store.Store
	publisher   *publish.Publisher
	broadcaster *broadcaster
	limits      store.BacklogLimits
	now         func() time.Time
}

var _ dashboard.Backend = dashboardBackend{}

func newDashboard(g *Gateway, o Options) (*dashboard.Dashboard, error) {
	mux := http.NewServeMux()
	NewAPI(mux, g)
	return dashboard.New(dashboard.Options{
		API: g.requests.logRequests(mux), IsSecure: o.TrustedProxies.IsSecure, Now: o.Now,
		Backend: dashboardBackend{handlers: g.handlers, store: g.store, publisher: g.publisher, broadcaster: g.broadcaster, limits: o.Limits, now: o.Now},
	})
}

// Authenticate implements dashboard.Backend.
func (p dashboardBackend) Authenticate(ctx context.Context, token string) (context.Context, dashboard.Caller, error) {
	asCaller, caller, err := p.access.authenticate(ctx, token)
	if err != nil {
		return nil, dashboard.Caller{}, failWithProblem(ctx, err)
	}
	return asCaller, dashboard.Caller{Name: caller.Name(), Namespace: caller.Namespace}, nil
}

// NoteOperation implements dashboard.Backend.
func (p dashboardBackend) NoteOperation(ctx context.Context, operation string) {
	requestInfoOf(ctx).operation = operation
}

// May implements dashboard.Backend.
func (p dashboardBackend) May(ctx context.Context, namespace string, right dashboard.Right) bool {
	caller := auth.CallerFrom(ctx)
	if caller == nil || len(validation.IsDNS1123Label(namespace)) > 0 {
		return false
	}
	allowed, err := p.access.authorizer.May(ctx, caller, auth.Right{Verb: right.Verb, Resource: right.Resource, Namespace: namespace, Name: right.Name})
	return err == nil && allowed
}

// Subscribe implements dashboard.Backend.
func (p dashboardBackend) Subscribe(namespace string, topic dashboard.Topic) (heard <-chan struct{}, stop func()) {
	return p.broadcaster.subscribe(namespace, topic)
}

// requireNamespaceRight checks the namespace and one right.
func (p dashboardBackend) requireNamespaceRight(ctx context.Context, namespace, verb, resource string) error {
	caller, namespace, err := Scope{Namespace: namespace}.resolveScope(ctx)
	if err != nil {
		return failWithProblem(ctx, err)
	}
	if err := p.access.requireRight(ctx, caller, auth.Right{Verb: verb, Resource: resource, Namespace: namespace}); err != nil {
		return failWithProblem(ctx, err)
	}
	return nil
}

// Deliveries implements dashboard.Backend.
func (p dashboardBackend) Deliveries(ctx context.Context, namespace, id string, query dashboard.DeliveryQuery) (*rest.DeliveryList, error) {
	list, err := p.delivery.readDeliveryPage(ctx, Scope{Namespace: namespace}, deliveryQuery{
		kind: "pages", webhookID: id, filters: []string{query.Status, query.Event}, page: Page{Limit: query.Limit, Cursor: query.Cursor},
		matches: func(entry *store.DeliveryEntry) bool {
			return (query.Status == "" || presentDeliveryState(entry.State) == query.Status) && (query.Event == "" || entry.EventType == query.Event)
		},
	})
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	return list, nil
}

// Delivery implements dashboard.Backend.
func (p dashboardBackend) Delivery(ctx context.Context, namespace, id string) (*dashboard.Delivery, error) {
	entry, err := p.delivery.findPermittedDelivery(ctx, &DeliveryPath{Scope: Scope{Namespace: namespace}, ID: id}, "get")
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	delivery, err := p.delivery.readLiveDelivery(ctx, types.NamespacedName{Namespace: entry.Namespace, Name: entry.Name})
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	shown := &dashboard.Delivery{
		DeliveryDetail: presentDeliveryDetail(delivery, p.now()), Test: delivery.Spec.Test,
		PublishedBy: delivery.Spec.PublishedBy, Overlapped: map[int]bool{},
	}
	for _, condition := range delivery.Status.Conditions {
		if condition.Type == v1alpha1.ConditionSucceeded {
			shown.Reason, shown.Message = condition.Reason, condition.Message
		}
	}
	for _, entry := range delivery.Status.AttemptLog {
		shown.Overlapped[int(entry.Number)] = entry.Primary != ""
	}
	webhook := p.store.Webhooks.FindByName(namespace, entry.Webhook)
	if webhook != nil && webhook.Spec.SendTraceParent {
		shown.TraceParent = delivery.Spec.TraceParent
	}
	if webhook != nil && webhook.Spec.DeliveryDeadline != nil && entry.IsUnfinished() {
		shown.Deadline = entry.Created.Add(webhook.Spec.DeliveryDeadline.Duration)
	}
	return shown, nil
}

// Settings implements dashboard.Backend.
func (p dashboardBackend) Settings(ctx context.Context, namespace, id string) (*dashboard.Settings, error) {
	_, webhook, err := p.reader.findReadableWebhook(ctx, &WebhookPath{Scope: Scope{Namespace: namespace}, ID: id})
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	policy := settings.RetryPolicy(webhook)
	s := &dashboard.Settings{
		Delays: policy.Delays, Timeout: policy.Timeout, Jitter: policy.JitterPercent,
		Deadline: settings.Deadline(webhook), Overlap: settings.Overlap(webhook),
		Refuse:    webhook.Spec.Overflow == v1alpha1.OverflowRefuse,
		Succeeded: webhook.Status.DeliveriesSucceeded, Failed: webhook.Status.DeliveriesFailed, Unrecorded: webhook.Status.DeliveriesUnrecorded,
		Skipped: webhook.Status.DeliveriesSkipped, LastSkipped: nullableSeconds(webhook.Status.LastSkippedTime), DeletedEarly: webhook.Status.DeliveriesDeletedEarly,
	}
	if signing := webhook.Spec.Signing; signing != nil {
		s.UserSecret = signing.SecretRef != nil
	}
	if signing := webhook.Status.Signing; signing != nil {
		s.SecretName = signing.SecretName
		s.OverlapEnd = nullableSeconds(signing.OverlapEndTime)
	}
	s.HeldUntil = nullableSeconds(webhook.Status.RetryAfterTime)
	for _, c := range webhook.Status.Conditions {
		s.Conditions = append(s.Conditions, dashboard.Condition{
			Type: c.Type, Status: string(c.Status), Reason: c.Reason, Message: c.Message, Since: c.LastTransitionTime.UTC(),
		})
	}
	return s, nil
}

// Backlog implements dashboard.Backend.
func (p dashboardBackend) Backlog(ctx context.Context, namespace string) (*dashboard.Backlog, error) {
	if err := p.requireNamespaceRight(ctx, namespace, "list", auth.Deliveries); err != nil {
		return nil, err
	}
	summary := p.store.Deliveries.SummarizeNamespace(namespace, overviewCount)
	b := &dashboard.Backlog{
		Count: summary.Unfinished, Bytes: summary.UnfinishedBytes, CountLimit: p.limits.PerNamespace, BytesLimit: p.limits.PerNamespaceBytes,
	}
	for _, r := range summary.Oldest {
		b.Oldest = append(b.Oldest, presentDelivery(r))
	}
	for _, r := range summary.Failed {
		b.Failed = append(b.Failed, presentDelivery(r))
	}
	return b, nil
}
