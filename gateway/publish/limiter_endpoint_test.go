// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/endpoint"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

// changingEndpoint is a webhook whose url or secret changes again and again, and the attempts to its endpoints.
type changingEndpoint struct {
	slots    *limiter
	webhook  *v1alpha1.Webhook
	now      time.Time
	version  int
	underWay []*changingAttempt
	unstored *unstoredAttempts
	// hasFailed says that the present endpoint was slow, or refused an attempt.
	hasFailed bool
}

// changingAttempt is an attempt under way, or one that an object will tell of.
type changingAttempt struct {
	slot     *endpoint.Slot
	version  int
	revision string
}

// changeEndpoint gives the webhook another endpoint: another url, or another secret.
func (c *changingEndpoint) changeEndpoint(random *rand.Rand) {
	c.version++
	c.hasFailed = false
	c.webhook = c.webhook.DeepCopy()
	if random.IntN(2) == 0 {
		c.webhook.Spec.URL = endpointURL(fmt.Sprint("version-", c.version))
	} else {
		c.webhook.Spec.Signing = &v1alpha1.Signing{SecretRef: &v1alpha1.SecretKeyReference{Name: fmt.Sprint("version-", c.version), Key: "secret"}}
	}
}

// failedResult is a random result of a failed attempt.
func (c *changingEndpoint) failedResult(random *rand.Rand) *dispatcher.Result {
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

// finishOne lets a random attempt fail, or an object tell of it.
func (c *changingEndpoint) finishOne(random *rand.Rand) {
	if len(c.underWay) == 0 {
		return
	}
	i := random.IntN(len(c.underWay))
	ended := c.underWay[i]
	result := c.failedResult(random)
	if ended.slot != nil {
		c.slots.releaseWithResult(ended.slot, result, 10*time.Second, c.now)
		ended.slot = nil // an object tells of it later
	} else {
		c.underWay[i] = c.underWay[len(c.underWay)-1]
		c.underWay = c.underWay[:len(c.underWay)-1]
		c.slots.observeAttempt(newWebhookKey(c.webhook), store.LatestAttempt{
			EndTime: c.now, Revision: ended.revision, TimedOut: result.Reason == dispatcher.ReasonTimeout, RetryAfter: result.RetryAfter,
		}, c.now)
	}
	c.hasFailed = c.hasFailed || ended.version == c.version
}

// noteSlow sets hasFailed where an attempt to the present endpoint has become slow.
func (c *changingEndpoint) noteSlow() {
	for _, one := range c.underWay {
		if one.slot != nil && one.version == c.version && c.now.Sub(one.slot.Start) >= c.slots.slots.Rules().SlowAfter {
			c.hasFailed = true
		}
	}
}

// startOne starts an attempt, and returns the refusal if there is none.
func (c *changingEndpoint) startOne() refusal {
	s, reason := c.slots.acquire(c.webhook, c.now, func(time.Time) bool { return true })
	if s != nil {
		attempt := &changingAttempt{s, c.version, s.Endpoint.Revision}
		c.underWay = append(c.underWay, attempt)
		c.unstored.add(&firstAttempt{draft: &deliveryDraft{webhook: c.webhook, objectName: "dlv"}, endpointRevision: attempt.revision})
	}
	return reason
}

// TestFormerEndpointDoesNotOpenTheCircuit changes a webhook at random while attempts to all its endpoints fail, late
// and early.
func TestFormerEndpointDoesNotOpenTheCircuit(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	c := &changingEndpoint{slots: newLimiter(4096, 64, 4096, time.Second), webhook: webhookNamed("team/one", endpointURL("version-0")), now: time.Unix(1e9, 0)}
	c.unstored = newUnstoredAttempts(func() time.Time { return c.now })
	changes, refused := 0, 0
	for step := range 20_000 {
		c.now = c.now.Add(time.Duration(random.IntN(200)) * time.Millisecond)
		c.noteSlow()
		switch random.IntN(8) {
		case 0:
			c.changeEndpoint(random)
			changes++
		case 1, 2, 3:
			reason := c.startOne()
			if reason == refusedCircuitOpen {
				refused++
			}
			if reason == refusedCircuitOpen && !c.hasFailed {
				t.Fatalf("step %d: no attempt to an endpoint that has said nothing yet", step)
			}
		default:
			c.finishOne(random)
		}
		if fails, slow := c.slots.classify(c.webhook, c.now); (fails || slow) && !c.hasFailed {
			t.Fatalf("step %d: fails %t, slow %t before the endpoint has said anything", step, fails, slow)
		}
		if a := c.unstored.find(c.webhook, "dlv"); a != nil && a.endpointRevision != signingsecret.EndpointRevision(c.webhook) {
			t.Fatalf("step %d: an attempt to a former endpoint stands for one to this", step)
		}
	}
	if changes == 0 || refused == 0 {
		t.Errorf("%d changes, %d attempts refused: the test tests nothing", changes, refused)
	}
}
