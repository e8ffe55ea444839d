// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
	"bbmcp.quietstack.com/webhooks/test/suite"
)

// changingWebhook is one whose url, secret and policy change under load, and the
// processes that end meanwhile.
type changingWebhook struct {
	*tenant
	*emitter

	random  *rand.Rand
	hook    *v1alpha1.Webhook
	manager *stack.Manager
	serial  atomic.Int64
	changes int
}

// badAnswer is what a former endpoint says that holds, fails or disables a
// webhook; most of it arrives when the endpoint is no longer the webhook's.
func (m *changingWebhook) badAnswer() receiver.Step {
	step := []receiver.Step{
		{Status: http.StatusGone},
		{Status: http.StatusTooManyRequests, Header: map[string]string{"Retry-After": "3600"}},
		{Status: http.StatusServiceUnavailable, Header: map[string]string{"Retry-After": "3600"}},
		{Status: http.StatusInternalServerError},
		{Fault: receiver.ResetBeforeAnswer},
		{Fault: receiver.Hang},
	}[m.random.IntN(6)]
	step.Delay = time.Duration(m.random.IntN(1500)) * time.Millisecond
	return step
}

// change changes the webhook's url, and at random its policy and secret too.
func (m *changingWebhook) change(ctx context.Context, path string) {
	GinkgoHelper()
	m.changes++
	more := ""
	switch m.random.IntN(3) {
	case 0:
		more = fmt.Sprintf(`,"retryPolicy":{"timeout":"3s","delays":["%dms","1s","1s","1s","1s","1s","1s"]}`, 500+m.random.IntN(1000))
	case 1:
		more = fmt.Sprintf(`,"signing":{"overlap":"%ds"}`, 60+m.random.IntN(1000))
	}
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:"%d"}},"spec":{"url":%q%s}}`,
		v1alpha1.RotateRequestedAtAnnotation, m.changes, m.endpoint.URL(path), more)
	Expect(cluster.Client.Patch(ctx, m.hook, client.RawPatch(types.MergePatchType, []byte(patch)))).To(Succeed())
}

// publishFor publishes in every way for so long; what is refused is not looked at.
func (m *changingWebhook) publishFor(ctx context.Context, d time.Duration) {
	var publishers sync.WaitGroup
	end := time.Now().Add(d)
	for _, prefer := range []string{"wait=1", "respond-async", ""} {
		publishers.Go(func() {
			for time.Now().Before(end) && ctx.Err() == nil {
				_, _ = m.post(ctx, fmt.Sprintf("m%d", m.serial.Add(1)), prefer)
				pass(ctx, 30*time.Millisecond)
			}
		})
	}
	publishers.Wait()
}

// disturb ends a process, as an upgrade does or a crash, or none.
func (m *changingWebhook) disturb(ctx context.Context) string {
	GinkgoHelper()
	switch m.random.IntN(5) {
	case 0:
		m.front.Process.Stop(20 * time.Second)
		Expect(m.front.Restart(ctx)).To(Succeed())
		return "gateway drained"
	case 1:
		m.front.Process.Stop(0)
		Expect(m.front.Restart(ctx)).To(Succeed())
		return "gateway killed"
	case 2:
		m.manager.Process.Stop(20 * time.Second)
		Expect(m.manager.Restart(ctx)).To(Succeed())
		waitLeads(ctx, m.manager)
		return "manager drained"
	}
	return "nothing ended"
}

// isWell says that nothing is held against the webhook.
func (m *changingWebhook) isWell(ctx context.Context, g Gomega) {
	var now v1alpha1.Webhook
	g.Expect(cluster.Client.Get(ctx, client.ObjectKeyFromObject(m.hook), &now)).To(Succeed())
	g.Expect(now.Status.State).To(Equal(v1alpha1.WebhookActive))
	g.Expect(now.Status.RetryAfterTime).To(BeNil())
	g.Expect(meta.IsStatusConditionFalse(now.Status.Conditions, v1alpha1.ConditionEndpointHealthy)).To(BeFalse())
}

var _ = Describe("a webhook whose endpoint changes at random under load", func() {
	It("hears nothing of what the former endpoint says", SpecTimeout(6*time.Minute), func(ctx SpecContext) {
		seed := uint64(GinkgoRandomSeed())
		m := &changingWebhook{tenant: newTenant(ctx, receiver.Options{}), random: rand.New(rand.NewPCG(seed, 0))}
		m.manager = startLeader(ctx, quick())
		m.hook = m.declare(ctx, "well")
		m.ready(ctx, m.hook)
		m.emitter = newEmitter(ctx, m.tenant)
		m.warm(ctx)
		formerPosts := 0
		for round := range size(5, 40) {
			former := fmt.Sprintf("/former-%d", round)
			answer := m.badAnswer()
			m.endpoint.Script(former, answer)
			m.change(ctx, former)
			m.publishFor(ctx, time.Duration(300+m.random.IntN(1500))*time.Millisecond)

			var load sync.WaitGroup
			load.Go(func() { m.publishFor(ctx, 2*time.Second) })
			pass(ctx, time.Duration(m.random.IntN(500))*time.Millisecond)
			m.change(ctx, "/well")
			by := fmt.Sprintf("seed %d, round %d, %+v, %s", seed, round, answer, m.disturb(ctx))
			load.Wait()
			GinkgoWriter.Println(by)

			Eventually(ctx, func(g Gomega) { m.isWell(ctx, g) }).Should(Succeed(), by)
			Eventually(ctx, func() []string { return m.emitter.publish(ctx, "wait=5") }).Should(Equal([]string{"succeeded"}), by)
			Consistently(ctx, func(g Gomega) {
				m.isWell(ctx, g)
				g.Expect(m.emitter.publish(ctx, "wait=5")).To(Equal([]string{"succeeded"}))
			}).WithTimeout(4*time.Second).WithPolling(100*time.Millisecond).Should(Succeed(), by)
			m.waitNone(ctx, "status.state!=Succeeded,status.state!=Failed", suite.Soon)
			formerPosts += m.endpoint.Counts(former).Posts
		}
		Expect(formerPosts).To(BeNumerically(">", 0), "no former endpoint was sent anything, which proves nothing")
		counts := m.endpoint.Counts("/well")
		measured("seed %d: %d changes, %d posts to former endpoints, %d to the last, %d unique", seed, m.changes, formerPosts, counts.Posts, counts.Unique)
	})
})
