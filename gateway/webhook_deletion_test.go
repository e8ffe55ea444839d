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
	"bbmcp.quietstack.com/webhooks/internal/signer"
)

// TestNothingIsLeftOfWebhooksThatAreGone lets attempts, records, secrets and what
// could not be stored go on while webhooks come and go, at random.
func TestNothingIsLeftOfWebhooksThatAreGone(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	scheme := runtime.NewScheme()
	if err := corev1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	secrets := fake.NewClientBuilder().WithScheme(scheme).Build()
	g := &Gateway{
		endpoints: newEndpoints(time.Now), unstored: newUnstored(time.Now),
		firsts: &firsts{signer: signer.New(secrets, time.Now), slots: newSlots(64, 8, 16, time.Second)},
	}
	store := func(context.Context, *v1alpha1.WebhookDelivery) error { return errors.New("no answer") }
	g.records = newRecords(Records{Rate: 100, Burst: 2, Total: 100}, store, func(string) bool { return false },
		newWriteBudget(DefaultLimits(), time.Now), NewMetrics(prometheus.NewRegistry()), nil, time.Now)
	g.endpoints.gone = func(webhook *v1alpha1.Webhook) { g.forget(keyOf(webhook)) }

	var working sync.WaitGroup
	for worker := range 4 {
		random := rand.New(rand.NewPCG(seed, uint64(worker)))
		working.Go(func() {
			for i := range 300 {
				webhook := hookNamed(fmt.Sprintf("team-%d/w%d-%d", random.IntN(3), worker, i), urlOf(fmt.Sprint("w", random.IntN(9))))
				webhook.UID, webhook.ResourceVersion = types.UID(fmt.Sprint(worker, "-", i)), "1"
				g.endpoints.ApplyWrite(webhook)
				at, _ := g.firsts.slots.take(webhook, time.Now(), func(time.Time) bool { return false })
				made := &flight{draft: &deliveryDraft{webhook: webhook, eventID: fmt.Sprint("e", i), payload: []byte("{}"), accepted: time.Now()}}
				steps := []func(){
					func() { g.endpoints.ApplyDelete(client.ObjectKeyFromObject(webhook), webhook.UID) },
					func() { g.records.offer(made) },
					func() { g.records.record(made) },
					func() { g.unstored.keep(made) },
					func() { _, _ = g.firsts.signer.Recent(webhook) },
					func() { g.firsts.slots.hear(keyOf(webhook), heard{at: time.Now(), timedOut: true}, time.Now()) },
					func() {
						if late, _ := g.firsts.slots.take(webhook, time.Now(), func(time.Time) bool { return false }); late != nil {
							g.firsts.slots.free(late, time.Now())
						}
					},
				}
				random.Shuffle(len(steps), func(a, b int) { steps[a], steps[b] = steps[b], steps[a] })
				for _, step := range steps {
					step()
				}
				if at != nil {
					g.firsts.slots.done(at, &dispatcher.Result{StatusCode: 200}, time.Millisecond, time.Now())
				}
			}
		})
	}
	working.Wait()
	g.firsts.signer.Await(t.Context(), g.firsts.signer.Known())
	if len(g.records.hooks) == 0 || len(g.firsts.slots.hooks) == 0 || g.firsts.signer.Size() == 0 || len(g.unstored.attempts) == 0 {
		t.Error("nothing was noted of webhooks that were gone: the test tests nothing")
	}
	g.forgetGone()
	left := map[string]int{
		"secrets": g.firsts.signer.Size(), "records": len(g.records.hooks), "unstored": len(g.unstored.attempts),
		"slots": len(g.firsts.slots.hooks), "told": len(g.firsts.slots.told), "destinations": len(g.firsts.slots.destinations), "namespaces": len(g.firsts.slots.spaces),
	}
	for what, n := range left {
		if n != 0 {
			t.Errorf("%d %s are left", n, what)
		}
	}
}
