// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"fmt"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/settings"
)

// reserveStage reserves quota and budget for the deliveries of an event, before any of them is made.
type reserveStage struct {
	limits      store.BacklogLimits
	deliveries  *store.DeliveryIndex
	writes      *writeBudget
	throttles   *storeThrottles
	terminating *terminatingNamespaces
}

// run reserves quota and budget for the candidates that get a delivery: those that are not disabled, within their quota
// and without one. Others are skipped, or refuse the event.
func (r *reserveStage) run(s *eventScope) ([]*target, error) {
	targets, err := r.admitTargets(s)
	s.admitted = err == nil
	return targets, err
}

func (r *reserveStage) admitTargets(s *eventScope) ([]*target, error) {
	requests, byName, err := r.quotaRequests(s)
	if err != nil || len(requests) == 0 {
		return nil, err
	}
	if r.terminating.contains(s.Namespace) {
		return nil, TerminatingError{}
	}
	if refused := r.writes.check(s.Namespace); refused != nil {
		return nil, refused
	}
	bytes := int64(len(s.payload))
	decision := r.deliveries.ReserveQuota(r.limits, s.Namespace, bytes, requests)
	if decision.Refused != nil {
		return nil, decision.Refused
	}
	for _, full := range decision.Full {
		s.skipWebhook(byName[full.Webhook], rest.SkippedBacklogFull)
	}
	targets := make([]*target, len(decision.Granted))
	for i, granted := range decision.Granted {
		targets[i] = &target{candidate: byName[granted.Webhook], index: r.deliveries, reservedBytes: bytes}
	}
	reserved, refused := r.writes.reserve(s.Namespace, len(s.payload), len(targets))
	if refused != nil {
		releaseTargets(targets)
		return nil, refused
	}
	for i, t := range targets {
		t.reservation = reserved[i]
	}
	return targets, nil
}

// quotaRequests returns a request for each candidate that gets a delivery if there is quota, and these by the names of
// their webhooks.
func (r *reserveStage) quotaRequests(s *eventScope) (requests []store.QuotaRequest, byName map[string]candidate, err error) {
	byName = map[string]candidate{}
	for _, t := range s.candidates {
		refuses := t.webhook.Spec.Overflow == v1alpha1.OverflowRefuse
		switch {
		case s.existing[t.deliveryName] != nil:
		case t.webhook.Status.State == v1alpha1.WebhookDisabled:
			s.skipWebhook(t, rest.SkippedDisabled)
		case refuses && r.throttles.isQueueFull(t.webhook):
			return nil, nil, storeQueueFull(t.webhook)
		case settings.RecordPolicy(t.webhook) == v1alpha1.RecordAlways && r.deliveries.CountPendingOutcomes(s.Namespace) >= r.limits.PerNamespace:
			return nil, nil, &store.QuotaError{Reason: store.QuotaNamespaceFull, Detail: fmt.Sprintf(
				"the controller has not taken in yet that %d deliveries of the namespace have succeeded, and webhook %s wants every one recorded", r.limits.PerNamespace, store.WebhookID(t.webhook))}
		default:
			byName[t.webhook.Name] = t
			requests = append(requests, store.QuotaRequest{Webhook: t.webhook.Name, WebhookID: store.WebhookID(t.webhook), RefuseIfFull: refuses})
		}
	}
	return requests, byName, nil
}
