// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"errors"
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/gateway/store"
)

// Successes that are all stored must not grow beyond what the controller can take in.
func TestRecordAlwaysIsRefusedWhileTheControllerIsFarBehind(t *testing.T) {
	const quota = 3
	for name, c := range map[string]struct {
		policy  v1alpha1.RecordPolicy
		pending int
		settled bool // the controller has taken them in
		refused bool
	}{
		"Always, one fewer than the quota":    {v1alpha1.RecordAlways, quota - 1, false, false},
		"Always, as many as the quota":        {v1alpha1.RecordAlways, quota, false, true},
		"Always, all of them taken in":        {v1alpha1.RecordAlways, quota, true, false},
		"Budgeted, many more than the quota":  {v1alpha1.RecordBudgeted, 10 * quota, false, false},
		"Never, many more than the quota":     {v1alpha1.RecordNever, 10 * quota, false, false},
		"no policy, many more than the quota": {"", 10 * quota, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			limits := store.DefaultBacklogLimits()
			limits.PerNamespace = quota
			index := store.NewDeliveryIndex(time.Now)
			limiter := newLimiter(8, 4, 6, time.Second)
			stage := &reserveStage{
				limits: limits, deliveries: index, writes: newWriteBudget(limits, time.Now),
				throttles: newStoreThrottles(limiter, time.Now), terminating: newTerminatingNamespaces(time.Now),
			}
			webhook := webhookNamed("team-a/one", "https://one.example.com/")
			if c.policy != "" {
				webhook.Spec.Retention = &v1alpha1.Retention{Record: c.policy}
			}
			for i := range c.pending {
				stored := &v1alpha1.WebhookDelivery{ObjectMeta: metav1.ObjectMeta{Namespace: "team-a", Name: "d" + strconv.Itoa(i), ResourceVersion: strconv.Itoa(i + 1)}}
				stored.Spec.WebhookRef.Name, stored.Spec.FirstAttempt = webhook.Name, &v1alpha1.Attempt{Number: 1, StartTime: metav1.NowMicro()}
				if c.settled {
					stored.Status.State = v1alpha1.DeliverySucceeded
				}
				index.ApplyWrite(stored)
			}
			s := newEventScope(Request{Namespace: "team-a", Event: &Event{}})
			s.candidates = []candidate{{webhook: webhook, deliveryName: "new"}}
			targets, err := stage.run(s)
			full, ok := errors.AsType[*store.QuotaError](err)
			if refused := ok && full.Reason == store.QuotaNamespaceFull; refused != c.refused || (len(targets) == 1) == c.refused {
				t.Errorf("got %d targets and %v", len(targets), err)
			}
		})
	}
}
