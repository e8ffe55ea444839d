// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"fmt"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// A change of a Webhook makes each of its deliveries be looked at again, and
// some be written. Whoever owns many can do that to the reconciler all the time.
var _ = Describe("a webhook with a backlog that is suspended and resumed all the time", func() {
	It("delays nobody else", SpecTimeout(5*time.Minute), func(ctx SpecContext) {
		backlog, stream := size(1000, 5000), 200
		hostile := newTenant(ctx, receiver.Options{})
		var watch stopwatch
		quiet := newTenant(ctx, receiver.Options{OnReceived: watch.note})
		startLeader(ctx, quick())
		flapping := hostile.declare(ctx, "flapping", func(spec *v1alpha1.WebhookSpec) { spec.Suspend = true })
		hostile.endpoint.Script("/flapping", receiver.Step{Status: 500})
		healthy := quiet.declare(ctx, "healthy")
		hostile.ready(ctx, flapping)
		quiet.ready(ctx, healthy)
		hostile.publish(ctx, backlog, flapping)

		quietly := percentiles(publishSteadily(ctx, quiet, &watch, healthy, stream, nil))
		flaps := 0
		under := percentiles(publishSteadily(ctx, quiet, &watch, healthy, stream, func() {
			flaps++
			patch := fmt.Appendf(nil, `{"spec":{"suspend":%t}}`, flaps%2 == 0)
			Expect(cluster.Client.Patch(ctx, flapping.DeepCopy(), client.RawPatch(types.MergePatchType, patch))).To(Succeed())
		}))
		measured("with %d deliveries of another tenant at rest %s; while they were suspended or resumed %d times %s",
			backlog, quietly, flaps, under)
		Expect(under.half).To(BeNumerically("<", time.Second))
	})
})

// delays are how long deliveries took.
type delays struct{ half, most time.Duration }

func (d delays) String() string { return fmt.Sprintf("half took %s, 95%% took %s", d.half, d.most) }

func percentiles(sorted []time.Duration) delays {
	GinkgoHelper()
	Expect(sorted).NotTo(BeEmpty())
	return delays{sorted[len(sorted)/2], sorted[len(sorted)*95/100]}
}

// publishSteadily publishes 20 a second, does something else beside it, and
// returns how long these took.
func publishSteadily(ctx SpecContext, t *tenant, watch *stopwatch, webhook *v1alpha1.Webhook, n int, beside func()) []time.Duration {
	GinkgoHelper()
	t.forgetTimes()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for i := range n {
		if beside != nil && i%4 == 0 {
			beside()
		}
		t.publish(ctx, 1, webhook)
		<-tick.C
	}
	Eventually(ctx, func() int { return len(watch.latencies(t)) }).WithTimeout(time.Minute).Should(Equal(n))
	return watch.latencies(t)
}
