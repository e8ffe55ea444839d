// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"slices"
	"time"

	"github.com/google/btree"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dashboard"
	"bbmcp.quietstack.com/webhooks/gateway/auth"
	"bbmcp.quietstack.com/webhooks/internal/settings"
)

const (
	// recentOutcomes is the number of finished deliveries from which a webhook's health is
	// shown.
	recentOutcomes = 40
	// maxExamined bounds the deliveries that are examined to find the latest failed one.
	maxExamined = 200
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
		all = p.g.webhooks.list(namespace)
	}
	for _, id := range ids {
		if webhook := p.g.webhooks.find(namespace, id); webhook != nil {
			all = append(all, webhook)
		}
	}
	health := make(map[string]dashboard.Health, len(all))
	for _, webhook := range all {
		h := dashboard.Health{
			LastSuccess: presentTime(webhook.Status.LastSuccessTime), LastFailure: presentTime(webhook.Status.LastFailureTime),
			Waiting: int(webhook.Status.DeliveriesPending), Limit: p.g.limits.webhookQuota(),
			Succeeded: webhook.Status.DeliveriesSucceeded + webhook.Status.DeliveriesUnrecorded + p.g.recorder.countUnreported(webhook.UID),
			Failed:    webhook.Status.DeliveriesFailed,
			Unsampled: settings.Record(webhook) == v1alpha1.RecordNever,
		}
		if !webhook.Spec.Suspend && webhook.Status.State != v1alpha1.WebhookDisabled {
			if problem := presentProblem(webhook); problem != nil {
				h.Reason, h.Problem = problem.Reason, problem.Message
			}
		}
		full := meta.FindStatusCondition(webhook.Status.Conditions, v1alpha1.ConditionBacklogFull)
		h.Skipped = full != nil && full.Status == metav1.ConditionTrue && webhook.Spec.Overflow != v1alpha1.OverflowRefuse
		if mayList {
			h.Waiting, h.Recent, h.Latest = p.g.deliveries.summarizeWebhook(namespace, webhook.Name)
		}
		health[idOf(webhook)] = h
	}
	return health, nil
}

// summarizeWebhook counts the unfinished deliveries of a webhook, and returns the outcomes
// of its latest finished ones, the oldest first, and the error of the newest delivery that
// has not succeeded. Test events do not count.
func (x *deliveryIndex) summarizeWebhook(namespace, webhook string) (waiting int, recent []dashboard.Outcome, latest string) {
	recent = []dashboard.Outcome{}
	x.View(func() {
		n := x.namespaces[namespace]
		if n == nil || n.byWebhook[webhook] == nil {
			return
		}
		w, looked := n.byWebhook[webhook], 0
		waiting = w.count
		w.finished.Ascend(func(r *deliveryEntry) bool {
			if !r.test {
				recent = append(recent, dashboard.Outcome{Succeeded: r.state == v1alpha1.DeliverySucceeded, Took: r.lastDuration, Untold: int(r.unrecorded)})
			}
			return len(recent) < recentOutcomes
		})
		w.listed.Ascend(func(r *deliveryEntry) bool {
			looked++
			if r.state != v1alpha1.DeliverySucceeded && !r.test {
				latest = r.errorMessage
			}
			return latest == "" && looked < maxExamined
		})
	})
	slices.Reverse(recent)
	return waiting, recent, latest
}

// Settings implements dashboard.Backend.
func (p dashboardBackend) Settings(ctx context.Context, namespace, id string) (*dashboard.Settings, error) {
	_, webhook, err := p.g.findReadableWebhook(ctx, &WebhookPath{Scope: Scope{Namespace: namespace}, ID: id})
	if err != nil {
		return nil, failRequest(ctx, err)
	}
	policy := settings.RetryPolicy(webhook)
	s := &dashboard.Settings{
		Delays: policy.Delays, Timeout: policy.Timeout, Jitter: policy.JitterPercent,
		Deadline: settings.Deadline(webhook), Overlap: settings.Overlap(webhook),
		Refuse:    webhook.Spec.Overflow == v1alpha1.OverflowRefuse,
		Succeeded: webhook.Status.DeliveriesSucceeded, Failed: webhook.Status.DeliveriesFailed, Unrecorded: webhook.Status.DeliveriesUnrecorded,
		Skipped: webhook.Status.DeliveriesSkipped, LastSkipped: presentSeconds(webhook.Status.LastSkippedTime), DeletedEarly: webhook.Status.DeliveriesDeletedEarly,
	}
	if signing := webhook.Spec.Signing; signing != nil {
		s.UserSecret = signing.SecretRef != nil
	}
	if signing := webhook.Status.Signing; signing != nil {
		s.SecretName = signing.SecretName
		s.OverlapEnd = presentSeconds(signing.OverlapEndTime)
	}
	s.HeldUntil = presentSeconds(webhook.Status.RetryAfterTime)
	for _, c := range webhook.Status.Conditions {
		s.Conditions = append(s.Conditions, dashboard.Condition{
			Type: c.Type, Status: string(c.Status), Reason: c.Reason, Message: c.Message, Since: c.LastTransitionTime.UTC(),
		})
	}
	return s, nil
}

func presentSeconds(t *metav1.Time) *time.Time {
	if t == nil {
		return nil
	}
	return new(t.UTC())
}

// Backlog implements dashboard.Backend.
func (p dashboardBackend) Backlog(ctx context.Context, namespace string) (*dashboard.Backlog, error) {
	if err := p.requireNamespaceRight(ctx, namespace, "list", auth.Deliveries); err != nil {
		return nil, err
	}
	b := &dashboard.Backlog{CountLimit: p.g.limits.PerNamespace, BytesLimit: p.g.limits.PerNamespaceBytes}
	oldest, failed := p.g.deliveries.selectForOverview(namespace, b)
	for _, r := range oldest {
		b.Oldest = append(b.Oldest, presentDelivery(r))
	}
	for _, r := range failed {
		b.Failed = append(b.Failed, presentDelivery(r))
	}
	return b, nil
}

// selectForOverview returns the deliveries that have waited longest and those that failed
// last, and sets the size of the backlog.
func (x *deliveryIndex) selectForOverview(namespace string, b *dashboard.Backlog) (oldest, failed []*deliveryEntry) {
	first := func(tree *btree.BTreeG[*deliveryEntry]) (list []*deliveryEntry) {
		tree.Ascend(func(r *deliveryEntry) bool {
			list = append(list, r)
			return len(list) < overviewCount
		})
		return list
	}
	x.View(func() {
		if n := x.namespaces[namespace]; n != nil {
			b.Count, b.Bytes = n.count, n.bytes
			oldest, failed = first(n.unfinished), first(n.failed)
		}
	})
	return oldest, failed
}

// endTime is when a delivery finished, or was created if that is unknown.
func (r *deliveryEntry) endTime() time.Time {
	if r.completed == nil {
		return r.created
	}
	return r.completed.Time
}
