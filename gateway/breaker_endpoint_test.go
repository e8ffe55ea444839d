// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

// changing is a webhook whose url or secret is changed again and again, and what its
// endpoints have said.
type changing struct {
	slots   *limiter
	webhook *v1alpha1.Webhook
	now     time.Time
	version int
	out     []*attempted
	kept    *unstoredAttempts
	// accused tells that the endpoint that the webhook has now was slow, or refused.
	accused bool
}

// attempted is an attempt that is under way, or one of which objects will tell.
type attempted struct {
	slot     *slot
	version  int
	revision string
}

// change gives the webhook another endpoint: another url, or another secret.
func (c *changing) change(random *rand.Rand) {
	c.version++
	c.accused = false
	c.webhook = c.webhook.DeepCopy()
	if random.IntN(2) == 0 {
		c.webhook.Spec.URL = urlOf(fmt.Sprint("version-", c.version))
	} else {
		c.webhook.Spec.Signing = &v1alpha1.Signing{SecretRef: &v1alpha1.SecretKeyReference{Name: fmt.Sprint("version-", c.version), Key: "secret"}}
	}
}

// answer is a bad one, at random.
func (c *changing) answer(random *rand.Rand) *dispatcher.Result {
	switch random.IntN(4) {
	case 0:
		return &dispatcher.Result{StatusCode: 410, Reason: dispatcher.ReasonGone}
	case 1:
		return &dispatcher.Result{StatusCode: 429, RetryAfter: c.now.Add(time.Hour)}
	case 2:
		return &dispatcher.Result{Reason: dispatcher.ReasonTimeout}
	}
	return &dispatcher.Result{StatusCode: 500}
}

// end lets an attempt end badly, whenever it began, or an object tell of one.
func (c *changing) end(random *rand.Rand) {
	if len(c.out) == 0 {
		return
	}
	i := random.IntN(len(c.out))
	ended := c.out[i]
	result := c.answer(random)
	if ended.slot != nil {
		c.slots.releaseWithResult(ended.slot, result, 10*time.Second, c.now)
		ended.slot = nil // an object tells of it later
	} else {
		c.out[i] = c.out[len(c.out)-1]
		c.out = c.out[:len(c.out)-1]
		c.slots.observe(keyOf(c.webhook), observedAttempt{
			endTime: c.now, revision: ended.revision, timedOut: result.Reason == dispatcher.ReasonTimeout, retryAfter: result.RetryAfter,
		}, c.now)
	}
	c.accused = c.accused || ended.version == c.version
}

// notice takes in that the endpoint is slower than one may be.
func (c *changing) notice() {
	for _, one := range c.out {
		if one.slot != nil && one.version == c.version && c.now.Sub(one.slot.began) >= c.slots.slowAfter {
			c.accused = true
		}
	}
}

// begin makes an attempt, and reports why there is none.
func (c *changing) begin() refusal {
	at, why := c.slots.acquire(c.webhook, c.now, func(time.Time) bool { return true })
	if at != nil {
		made := &attempted{at, c.version, at.endpoint.revision}
		c.out = append(c.out, made)
		c.kept.add(&firstAttempt{draft: &deliveryDraft{webhook: c.webhook, objectName: "dlv"}, endpointRevision: made.revision})
	}
	return why
}

// TestNothingOfAFormerEndpointCounts changes a webhook at random while attempts to
// all its endpoints end badly, late and early.
func TestNothingOfAFormerEndpointCounts(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	c := &changing{slots: newLimiter(4096, 64, 4096, time.Second), webhook: hookNamed("team/one", urlOf("version-0")), now: time.Unix(1e9, 0)}
	c.kept = newUnstoredAttempts(func() time.Time { return c.now })
	changes, refused := 0, 0
	for step := range 20_000 {
		c.now = c.now.Add(time.Duration(random.IntN(200)) * time.Millisecond)
		c.notice()
		switch random.IntN(8) {
		case 0:
			c.change(random)
			changes++
		case 1, 2, 3:
			why := c.begin()
			if why == refusedCircuitOpen {
				refused++
			}
			if why == refusedCircuitOpen && !c.accused {
				t.Fatalf("step %d: no attempt to an endpoint that has said nothing yet", step)
			}
		default:
			c.end(random)
		}
		if fails, slow := c.slots.classify(c.webhook, c.now); (fails || slow) && !c.accused {
			t.Fatalf("step %d: fails %t, slow %t before the endpoint has said anything", step, fails, slow)
		}
		if a := c.kept.find(c.webhook, "dlv"); a != nil && a.endpointRevision != signingsecret.EndpointRevision(c.webhook) {
			t.Fatalf("step %d: an attempt to a former endpoint stands for one to this", step)
		}
	}
	if changes == 0 || refused == 0 {
		t.Errorf("%d changes, %d attempts refused: the test tests nothing", changes, refused)
	}
}
