// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dashboard"
	"bbmcp.quietstack.com/webhooks/gateway/auth"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/settings"
)

const (
	// recentOutcomes is the number of finished deliveries from which a webhook's health is
	// shown.
	recentOutcomes = 40
	// overviewCount is the number of deliveries of each kind on the overview.
	overviewCount = 5
)

// Health implements dashboard.Backend.
func (p dashboardBackend) Health(ctx context.Context, namespace string, ids ...string) (map[string]dashboard.Health, error) {
	if err := p.requireNamespaceRight(ctx, namespace, "list", auth.Webhooks); err != nil {
		return nil, err
	}
	mayList := p.May(ctx, namespace, dashboard.Right{Verb: "list", Resource: auth.Deliveries})
	var all []*v1alpha1.Webhook
	if len(ids) == 0 {
		all = p.store.Webhooks.List(namespace)
	}
	for _, id := range ids {
		if webhook := p.store.Webhooks.FindByID(namespace, id); webhook != nil {
			all = append(all, webhook)
		}
	}
	health := make(map[string]dashboard.Health, len(all))
	for _, webhook := range all {
		h := dashboard.Health{
			LastSuccess: nullableTime(webhook.Status.LastSuccessTime), LastFailure: nullableTime(webhook.Status.LastFailureTime),
			Waiting: int(webhook.Status.DeliveriesPending), Limit: p.limits.WebhookQuota(),
			Succeeded: webhook.Status.DeliveriesSucceeded + webhook.Status.DeliveriesUnrecorded + p.publisher.CountUnreported(webhook.UID),
			Failed:    webhook.Status.DeliveriesFailed,
			Unsampled: settings.RecordPolicy(webhook) == v1alpha1.RecordNever,
		}
		if !webhook.Spec.Suspend && webhook.Status.State != v1alpha1.WebhookDisabled {
			if problem := presentWebhookProblem(webhook); problem != nil {
				h.Reason, h.Problem = problem.Reason, problem.Message
			}
		}
		full := meta.FindStatusCondition(webhook.Status.Conditions, v1alpha1.ConditionBacklogFull)
		h.Skipped = full != nil && full.Status == metav1.ConditionTrue && webhook.Spec.Overflow != v1alpha1.OverflowRefuse
		if mayList {
			summary := p.store.Deliveries.SummarizeWebhook(namespace, webhook.Name, recentOutcomes)
			h.Waiting, h.Recent, h.Latest = summary.Unfinished, presentHealthOutcomes(summary.Recent), summary.LatestError
		}
		health[store.WebhookID(webhook)] = h
	}
	return health, nil
}

// presentHealthOutcomes returns finished deliveries as pages show them.
func presentHealthOutcomes(finished []*store.DeliveryEntry) []dashboard.Outcome {
	outcomes := []dashboard.Outcome{}
	for _, r := range finished {
		outcomes = append(outcomes, dashboard.Outcome{Succeeded: r.State == v1alpha1.DeliverySucceeded, Took: r.LastDuration, Untold: int(r.Unrecorded)})
	}
	return outcomes
}
