// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"context"
	"fmt"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
	"bbmcp.quietstack.com/webhooks/test/suite"
)

// unsettledBound is U: how many deliveries a crash may repeat.
const unsettledBound = 16

// run is a stream of deliveries in whose middle something breaks.
type run struct {
	*tenant
	hooks []*v1alpha1.Webhook
	// leader is the manager at work when the fault strikes; options start more.
	leader  *stack.Manager
	options stack.ManagerOptions
	// proxy stands between manager and API server if the fault is proxied.
	proxy *stack.APIProxy
}

// fault is one way to disturb a run.
type fault struct {
	// repeats is how many posts may be repeated.
	repeats int
	// before, unless nil, prepares the run; strike breaks something in its middle
	// and returns when all that it broke works again.
	before, strike func(ctx context.Context, r *run)
	// quick makes leadership change hands within seconds.
	quick bool
	// proxied puts an APIProxy before the API server.
	proxied bool
}

var _ = Describe("2,000 deliveries to four endpoints", func() {
	limit := SpecTimeout(5 * time.Minute)
	DescribeTable("nothing twice, nothing lost",
		func(ctx SpecContext, f fault) {
			total := size(400, 2000)
			r := prepareRun(ctx, f)
			began := time.Now()
			var disturbed sync.WaitGroup
			disturbed.Go(func() {
				defer GinkgoRecover()
				half := func(c receiver.Counts) bool { return c.Posts >= total/2 }
				Expect(r.endpoint.Wait(ctx, "", half)).To(Succeed())
				if f.strike != nil {
					f.strike(ctx, r)
				}
			})
			r.publish(ctx, total, r.hooks...)
			disturbed.Wait()
			r.waitSucceeded(ctx, 2*time.Minute)

			counts := r.endpoint.Counts("")
			measured("%d deliveries, %d posts, %d duplicates (at most %d, U = %d), %s", total, counts.Posts, counts.Duplicates,
				f.repeats, unsettledBound, time.Since(began).Round(100*time.Millisecond))
			Expect(counts.Duplicates).To(BeNumerically("<=", f.repeats), "duplicates")
			Expect(counts).To(Equal(receiver.Counts{
				Posts: total + counts.Duplicates, Verified: total + counts.Duplicates,
				Unique: total, Accepted: total, Duplicates: counts.Duplicates, Repeated: counts.Duplicates,
			}))
		},
		Entry("undisturbed", limit, fault{}),
		Entry("manager killed (-9) and started again", limit, fault{repeats: unsettledBound, strike: killManager, quick: true}),
		Entry("node lost with manager and sidecar (-9), and another takes over", limit, fault{repeats: unsettledBound, strike: loseNode, quick: true}),
		Entry("leader stopped, and continued after another took over", limit, fault{repeats: unsettledBound, strike: pauseLeader, quick: true}),
		Entry("sidecar killed (-9)", limit, fault{repeats: unsettledBound, strike: killSidecar}),
		Entry("API server killed (-9) and back after 10 s", limit, fault{strike: killAPIServer}),
		Entry("API server frozen for 10 s", limit, fault{strike: freezeAPIServer}),
		Entry("the API server away for longer than the lease", limit, fault{strike: outliveLease, quick: true}),
		Entry("everybody annotates deliveries", limit, fault{before: annotate, proxied: true}),
		Entry("answers to status writes lost, and a cache that lags 3 s", limit, fault{before: lagAndLose, proxied: true}),
		Entry("status writes refused for 5 s", limit, fault{strike: refuseWrites, proxied: true}),
	)
})

func prepareRun(ctx context.Context, f fault) *run {
	GinkgoHelper()
	r := &run{tenant: newTenant(ctx, receiver.Options{Keep: -1})}
	// On a busy machine an API server takes longer to come back than the usual
	// lease allows; what happens then has a spec of its own.
	unsettled := fmt.Sprintf("--unsettled=%d", unsettledBound)
	r.options = supervised(append(patient(), unsettled)...)
	if f.quick {
		r.options = quick(unsettled)
	}
	if f.proxied {
		proxy, err := cluster.StartAPIProxy()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(proxy.Close)
		r.proxy = proxy
		r.options.Proxy = proxy
	}
	r.leader = startLeader(ctx, r.options)
	r.endpoint.Script("", receiver.Step{Delay: 20 * time.Millisecond})
	for i := range 4 {
		r.hooks = append(r.hooks, r.declare(ctx, fmt.Sprintf("hook-%d", i)))
	}
	r.ready(ctx, r.hooks...)
	if f.before != nil {
		f.before(ctx, r)
	}
	return r
}

func killManager(ctx context.Context, r *run) {
	r.leader.Process.Stop(0)
	Expect(r.leader.Restart(ctx)).To(Succeed())
	waitLeads(ctx, r.leader)
}

// loseNode ends manager and sidecar at once; a second replica is there.
func loseNode(ctx context.Context, r *run) {
	heir := startManager(ctx, r.options)
	r.leader.Kill()
	waitLeads(ctx, heir)
}

// pauseLeader stops the leader as a machine does that hangs. It is continued
// only once another one works.
func pauseLeader(ctx context.Context, r *run) {
	heir := startManager(ctx, r.options)
	Expect(r.leader.Pause()).To(Succeed())
	waitLeads(ctx, heir)
	posts := r.endpoint.Counts("").Posts
	Expect(r.endpoint.Wait(ctx, "", func(c receiver.Counts) bool { return c.Posts > posts })).To(Succeed())
	Expect(r.leader.Resume()).To(Succeed())
	Eventually(ctx, r.leader.Process.Done()).Should(BeClosed(), "a leader that was deposed ends")
}

func killSidecar(_ context.Context, r *run) { r.leader.Dispatcher().Stop(0) }

func killAPIServer(ctx context.Context, _ *run) {
	Expect(cluster.ControlPlane.KillAPIServer()).To(Succeed())
	pass(ctx, 10*time.Second)
	Expect(cluster.ControlPlane.StartAPIServer(ctx)).To(Succeed())
}

func freezeAPIServer(ctx context.Context, _ *run) {
	Expect(cluster.ControlPlane.PauseAPIServer()).To(Succeed())
	pass(ctx, 10*time.Second)
	Expect(cluster.ControlPlane.ResumeAPIServer()).To(Succeed())
}

// outliveLease takes the API server away until the leader has had to give up,
// writes what it still holds, and ends; it is started again, as kubelet does.
func outliveLease(ctx context.Context, r *run) {
	killAPIServer(ctx, r)
	Eventually(ctx, r.leader.Process.Done()).WithTimeout(time.Minute).Should(BeClosed(), "a leader without a lease ends")
	Expect(r.leader.Restart(ctx)).To(Succeed())
	waitLeads(ctx, r.leader)
}

// annotate touches every delivery again and again, so that status writes meet
// real conflicts, also when they are written again.
func annotate(ctx context.Context, r *run) {
	r.proxy.LagWatches(time.Second) // or the cache would know of most changes in time
	ctx, cancel := context.WithCancel(ctx)
	var annotators sync.WaitGroup
	annotators.Go(func() {
		for round := 0; ctx.Err() == nil; round++ {
			pass(ctx, suite.PollEvery)
			list, _ := r.list(ctx, "status.state!=Succeeded")
			patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"annotations":{"example.com/round":"%d"}}}`, round))
			for i := range list {
				_ = cluster.Client.Patch(ctx, &list[i], patch)
			}
		}
	})
	DeferCleanup(func(ctx SpecContext) {
		cancel()
		annotators.Wait()
	})
	DeferCleanup(func(ctx SpecContext) {
		samples, err := stack.Scrape(ctx, r.leader.MetricsURL)
		Expect(err).NotTo(HaveOccurred())
		conflicts := samples.Sum("bbmcp_status_writes_total", "result", "conflict")
		measured("%.0f conflicts", conflicts)
		Expect(conflicts).To(BeNumerically(">", 0), "conflicts that the annotations caused")
	})
}

// lagAndLose makes every tenth status write look as if it had failed though it
// did not, and shows the manager everything 3 s late.
func lagAndLose(_ context.Context, r *run) {
	r.proxy.LagWatches(3 * time.Second)
	r.proxy.LoseAnswers(10)
	DeferCleanup(func(ctx SpecContext) {
		measured("%d answers lost", r.proxy.Lost())
		Expect(r.proxy.Lost()).To(BeNumerically(">", 0))
		Eventually(ctx, func() (float64, error) {
			samples, err := stack.Scrape(ctx, r.leader.MetricsURL)
			return samples.Sum("bbmcp_deliveries_total", "outcome", "succeeded"), err
		}).Should(BeEquivalentTo(r.endpoint.Counts("").Unique),
			"deliveries that are accounted for, whatever became of the answer")
	})
}

func refuseWrites(ctx context.Context, r *run) {
	r.proxy.RefuseWrites(true)
	pass(ctx, 5*time.Second)
	r.proxy.RefuseWrites(false)
	measured("%d writes refused", r.proxy.Refused())
	Expect(r.proxy.Refused()).To(BeNumerically(">", 0))
}

// pass lets time go by that is part of the fault, not a wait for an effect.
func pass(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
