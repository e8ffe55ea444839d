// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

// TestDeletedWebhooksLeaveNoState lets attempts, records, reads of secrets and unstored attempts go on while webhooks
// come and go, at random.
func TestDeletedWebhooksLeaveNoState(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	secrets := fake.NewClientBuilder().WithScheme(scheme).Build()
	create := func(context.Context, *v1alpha1.WebhookDelivery) error { return errors.New("no answer") }
	d := &deletionSweeper{
		webhooks: store.NewWebhookIndex(time.Now), secrets: signingsecret.NewReader(secrets, time.Now),
		limiter: newLimiter(64, 8, 16, time.Second), unstored: newUnstoredAttempts(time.Now),
		recorder: newRecorder(RecordBudget{Rate: 100, Burst: 2, Total: 100}, create, func(string) bool { return false },
			newWriteBudget(store.DefaultBacklogLimits(), time.Now), NewMetrics(prometheus.NewRegistry()), nil, time.Now),
	}
	d.webhooks.OnDelete(func(webhook *v1alpha1.Webhook) { d.forget(newWebhookKey(webhook)) })

	var working sync.WaitGroup
	for worker := range 4 {
		random := rand.New(rand.NewPCG(seed, uint64(worker)))
		working.Go(func() {
			for i := range 300 {
				webhook := webhookNamed(fmt.Sprintf("team-%d/w%d-%d", random.IntN(3), worker, i), endpointURL(fmt.Sprint("w", random.IntN(9))))
				webhook.UID, webhook.ResourceVersion = types.UID(fmt.Sprint(worker, "-", i)), "1"
				d.webhooks.ApplyWrite(webhook)
				s, _ := d.limiter.acquire(webhook, time.Now(), func(time.Time) bool { return false })
				made := &firstAttempt{draft: &deliveryDraft{webhook: webhook, eventID: fmt.Sprint("e", i), payload: []byte("{}"), accepted: time.Now()}}
				steps := []func(){
					func() { d.webhooks.ApplyDelete(client.ObjectKeyFromObject(webhook), webhook.UID) },
					func() { d.recorder.offer(made) },
					func() { d.recorder.record(made) },
					func() { d.unstored.add(made) },
					func() { _, _ = d.secrets.Recent(webhook) },
					func() {
						d.limiter.observeAttempt(newWebhookKey(webhook), store.LatestAttempt{EndTime: time.Now(), TimedOut: true}, time.Now())
					},
					func() {
						if late, _ := d.limiter.acquire(webhook, time.Now(), func(time.Time) bool { return false }); late != nil {
							d.limiter.release(late, time.Now())
						}
					},
				}
				random.Shuffle(len(steps), func(a, b int) { steps[a], steps[b] = steps[b], steps[a] })
				for _, step := range steps {
					step()
				}
				if s != nil {
					d.limiter.releaseWithResult(s, &dispatcher.Result{StatusCode: 200}, time.Millisecond, time.Now())
				}
			}
		})
	}
	working.Wait()
	d.secrets.AwaitReads(t.Context(), d.secrets.Known())
	if len(d.recorder.webhooks) == 0 || len(d.limiter.endpoints) == 0 || d.secrets.Size() == 0 || len(d.unstored.byDelivery) == 0 {
		t.Error("nothing was noted of webhooks that were gone: the test tests nothing")
	}
	d.sweep()
	destinations, namespaces := d.limiter.slots.Size()
	left := map[string]int{
		"secrets": d.secrets.Size(), "records": len(d.recorder.webhooks), "unstored": len(d.unstored.byDelivery),
		"slots": len(d.limiter.endpoints), "observations": len(d.limiter.observations), "destinations": destinations, "namespaces": namespaces,
	}
	for what, n := range left {
		if n != 0 {
			t.Errorf("%d %s are left", n, what)
		}
	}
}

// TestInventedDeliveriesLeaveNoObservations observes deliveries made by hand, which can name any webhook and any owner
// in any combination.
func TestInventedDeliveriesLeaveNoObservations(t *testing.T) {
	now := time.Now()
	d := &deletionSweeper{
		webhooks: store.NewWebhookIndex(time.Now), secrets: signingsecret.NewReader(nil, time.Now),
		limiter: newLimiter(64, 8, 16, time.Second), unstored: newUnstoredAttempts(time.Now), recorder: &recorder{},
	}
	webhook := ordersWebhook()
	webhook.ResourceVersion = "1"
	d.webhooks.ApplyWrite(webhook)
	pause := store.LatestAttempt{EndTime: now, RetryAfter: now.Add(time.Hour)}
	for i := range 1000 {
		for _, invented := range []webhookKey{
			{webhook.Namespace, webhook.Name, types.UID(fmt.Sprint("invented ", i))},
			{webhook.Namespace, fmt.Sprint("invented ", i), webhook.UID},
			{fmt.Sprint("other ", i), webhook.Name, webhook.UID},
		} {
			d.limiter.observeAttempt(invented, pause, now)
		}
	}
	d.limiter.observeAttempt(newWebhookKey(webhook), pause, now)
	d.sweep()
	if n := len(d.limiter.observations); n != 1 || d.limiter.observations[newWebhookKey(webhook)] == nil {
		t.Errorf("%d observations are left, want that of the webhook that exists", n)
	}
}
