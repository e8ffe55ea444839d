// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"fmt"
	"net/http"
	"sync"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/suite"
)

var _ = Describe("a leader that is asked to stop", func() {
	It("finishes what is in flight, then hands over", SpecTimeout(2*time.Minute), func(ctx SpecContext) {
		const answerTime = 3 * time.Second
		const total = 24
		var mu sync.Mutex
		var arrivals []time.Time
		t := newTenant(ctx, receiver.Options{OnReceived: func(one receiver.Received) {
			mu.Lock()
			defer mu.Unlock()
			arrivals = append(arrivals, one.At)
		}})
		leader := startLeader(ctx, quick())
		heir := startManager(ctx, quick())
		hook := t.declare(ctx, "slow")
		t.ready(ctx, hook)
		before, err := leaseHolder(ctx)
		Expect(err).NotTo(HaveOccurred())
		t.endpoint.Script("", receiver.Step{Delay: answerTime})
		t.publish(ctx, total, hook)
		inFlight := func(c receiver.Counts) bool { return c.Posts >= 8 }
		Expect(t.endpoint.Wait(ctx, "", inFlight)).To(Succeed())

		asked := time.Now()
		Expect(leader.Process.Signal(syscall.SIGTERM)).To(Succeed())
		t.endpoint.Script("", receiver.Step{}) // for what arrives from now on
		Eventually(ctx, leaseHolder).WithPolling(suite.PollEvery / 2).ShouldNot(Equal(before))
		released := time.Now()
		mu.Lock()
		last := arrivals[len(arrivals)-1]
		mu.Unlock()
		Eventually(ctx, leader.Process.Done()).Should(BeClosed())
		ended := time.Now()
		waitLeads(ctx, heir)
		took := time.Now()
		t.waitSucceeded(ctx, time.Minute)

		mu.Lock()
		defer mu.Unlock()
		goesOn := time.Time{}
		for _, at := range arrivals {
			if at.After(released) && goesOn.IsZero() {
				goesOn = at
			}
		}
		measured("after SIGTERM: lease released %s, ended %s, heir leads %s, its first attempt %s", since(asked, released),
			since(asked, ended), since(asked, took), since(asked, goesOn))
		Expect(t.endpoint.Counts("")).To(Equal(receiver.Counts{Posts: total, Verified: total, Unique: total, Accepted: total}))
		Expect(leader.Process.Err()).NotTo(HaveOccurred(), "it ends as asked")
		Expect(released).To(BeTemporally(">=", last.Add(answerTime)), "the lease is released after the last answer")
		Expect(goesOn).To(BeTemporally("<", released.Add(5*time.Second)), "the heir goes on within seconds")
	})

	It("ends within --drain-grace though its results cannot be written", SpecTimeout(2*time.Minute), func(ctx SpecContext) {
		const grace, total = 8 * time.Second, 8
		proxy, err := cluster.StartAPIProxy()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(proxy.Close)
		t := newTenant(ctx, receiver.Options{})
		options := quick(fmt.Sprintf("--drain-grace=%s", grace))
		options.Proxy = proxy
		leader := startLeader(ctx, options)
		hook := t.declare(ctx, "hook")
		t.ready(ctx, hook)
		proxy.RefuseWrites(true)
		t.publish(ctx, total, hook)
		arrived := func(c receiver.Counts) bool { return c.Posts > 0 }
		Expect(t.endpoint.Wait(ctx, "", arrived)).To(Succeed())
		Eventually(ctx, proxy.Refused).Should(BeNumerically(">", 0))

		asked := time.Now()
		Expect(leader.Process.Signal(syscall.SIGTERM)).To(Succeed())
		Eventually(ctx, leader.Process.Done()).Should(BeClosed())
		ended := time.Now()
		measured("with --drain-grace=%s and results that cannot be written it ended %s after SIGTERM", grace, since(asked, ended))
		Expect(ended).To(BeTemporally("<", asked.Add(grace+grace/2)), "it does not begin to wait anew")
		proxy.RefuseWrites(false)
		heir := startLeader(ctx, quick())
		t.waitSucceeded(ctx, time.Minute)
		Expect(heir.Process.Running()).To(BeTrue())
		counts := t.endpoint.Counts("")
		Expect(counts.Unique).To(Equal(total), "nothing is lost")
		Expect(counts.Accepted).To(Equal(total))
	})
})

var _ = Describe("a gateway that is asked to stop", func() {
	It("finishes what it accepted", SpecTimeout(2*time.Minute), func(ctx SpecContext) {
		const answerTime, each = 3 * time.Second, 8
		t := newTenant(ctx, receiver.Options{})
		startLeader(ctx, supervised())
		t.ready(ctx, t.declare(ctx, "hook"))
		e := newEmitter(ctx, t, "--drain-delay=1s")
		e.warm(ctx)
		t.waitSucceeded(ctx, suite.Soon)
		before := t.endpoint.Counts("")
		t.endpoint.Script("/hook", receiver.Step{Delay: answerTime})

		// Some wait until the endpoint has answered, some are told that it is
		// pending while the gateway's attempt is out, some are stored first.
		var publishers sync.WaitGroup
		for kind, prefer := range []string{"wait=8", "wait=1", "respond-async"} {
			for n := range each {
				publishers.Go(func() {
					defer GinkgoRecover()
					status, answer := e.post(ctx, fmt.Sprintf("drain-%d-%d", kind, n), prefer)
					Expect(status).To(Equal(http.StatusAccepted), answer)
				})
			}
		}
		underWay := func(c receiver.Counts) bool { return c.Posts >= before.Posts+each }
		Expect(t.endpoint.Wait(ctx, "", underWay)).To(Succeed())
		asked := time.Now()
		Expect(e.front.Process.Signal(syscall.SIGTERM)).To(Succeed())
		publishers.Wait()
		Eventually(ctx, e.front.Process.Done()).Should(BeClosed())
		Expect(e.front.Process.Err()).NotTo(HaveOccurred(), "it ends as asked")
		measured("with %d events under way it ended %s after SIGTERM", 3*each, since(asked, time.Now()))
		t.endpoint.Script("/hook", receiver.Step{})
		t.waitSucceeded(ctx, suite.Soon)

		total := before.Unique + 3*each
		Expect(t.endpoint.Counts("")).To(Equal(receiver.Counts{Posts: total, Verified: total, Unique: total, Accepted: total}))
	})
})

func since(begin, at time.Time) time.Duration { return at.Sub(begin).Round(10 * time.Millisecond) }
