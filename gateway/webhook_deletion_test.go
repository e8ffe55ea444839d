// SPDX-License-Identifier: Apache-2.0

package gateway

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
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

// TestDeletedWebhooksLeaveNoState lets attempts, records, secrets and what
// could not be stored go on while webhooks come and go, at random.
func TestDeletedWebhooksLeaveNoState(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	secrets := fake.NewClientBuilder().WithScheme(scheme).Build()
	g := &Gateway{
		webhooks: newWebhookIndex(time.Now), unstored: newUnstoredAttempts(time.Now),
		attempter: &attempter{secrets: signingsecret.NewReader(secrets, time.Now), limiter: newLimiter(64, 8, 16, time.Second)},
	}
	store := func(context.Context, *v1alpha1.WebhookDelivery) error { return errors.New("no answer") }
	g.recorder = newRecorder(Records{Rate: 100, Burst: 2, Total: 100}, store, func(string) bool { return false },
		newWriteBudget(DefaultLimits(), time.Now), NewMetrics(prometheus.NewRegistry()), nil, time.Now)
	g.webhooks.onDelete = func(webhook *v1alpha1.Webhook) { g.forgetWebhook(keyOf(webhook)) }

	var working sync.WaitGroup
	for worker := range 4 {
		random := rand.New(rand.NewPCG(seed, uint64(worker)))
		working.Go(func() {
			for i := range 300 {
				webhook := webhookNamed(fmt.Sprintf("team-%d/w%d-%d", random.IntN(3), worker, i), endpointURL(fmt.Sprint("w", random.IntN(9))))
				webhook.UID, webhook.ResourceVersion = types.UID(fmt.Sprint(worker, "-", i)), "1"
				g.webhooks.ApplyWrite(webhook)
				s, _ := g.attempter.limiter.acquire(webhook, time.Now(), func(time.Time) bool { return false })
				made := &firstAttempt{draft: &deliveryDraft{webhook: webhook, eventID: fmt.Sprint("e", i), payload: []byte("{}"), accepted: time.Now()}}
				steps := []func(){
					func() { g.webhooks.ApplyDelete(client.ObjectKeyFromObject(webhook), webhook.UID) },
					func() { g.recorder.offer(made) },
					func() { g.recorder.record(made) },
					func() { g.unstored.add(made) },
					func() { _, _ = g.attempter.secrets.Recent(webhook) },
					func() {
						g.attempter.limiter.observe(keyOf(webhook), observedAttempt{endTime: time.Now(), timedOut: true}, time.Now())
					},
					func() {
						if late, _ := g.attempter.limiter.acquire(webhook, time.Now(), func(time.Time) bool { return false }); late != nil {
							g.attempter.limiter.release(late, time.Now())
						}
					},
				}
				random.Shuffle(len(steps), func(a, b int) { steps[a], steps[b] = steps[b], steps[a] })
				for _, step := range steps {
					step()
				}
				if s != nil {
					g.attempter.limiter.releaseWithResult(s, &dispatcher.Result{StatusCode: 200}, time.Millisecond, time.Now())
				}
			}
		})
	}
	working.Wait()
	g.attempter.secrets.Await(t.Context(), g.attempter.secrets.Known())
	if len(g.recorder.webhooks) == 0 || len(g.attempter.limiter.endpoints) == 0 || g.attempter.secrets.Size() == 0 || len(g.unstored.byDelivery) == 0 {
		t.Error("nothing was noted of webhooks that were gone: the test tests nothing")
	}
	g.forgetDeletedWebhooks()
	left := map[string]int{
		"secrets": g.attempter.secrets.Size(), "records": len(g.recorder.webhooks), "unstored": len(g.unstored.byDelivery),
		"slots": len(g.attempter.limiter.endpoints), "observations": len(g.attempter.limiter.observations), "destinations": len(g.attempter.limiter.destinations), "namespaces": len(g.attempter.limiter.namespaces),
	}
	for what, n := range left {
		if n != 0 {
			t.Errorf("%d %s are left", n, what)
		}
	}
}
