// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"sync"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/test/receiver"
)

var _ = Describe("a leader that is asked to stop", func() {
	It("finishes what is in flight, then hands over", SpecTimeout(2*time.Minute), func(ctx SpecContext) {
		const answerTime = 3 * time.Second
		const total = 24
		var mu sync.Mutex
		var arrivals []time.Time
		w := newWorld(ctx, receiver.Options{OnReceived: func(one receiver.Received) {
			mu.Lock()
			defer mu.Unlock()
			arrivals = append(arrivals, one.At)
		}})
		leader := startLeader(ctx, quick())
		heir := startManager(ctx, quick())
		hook := w.declare(ctx, "slow")
		w.ready(ctx, hook)
		before, err := leaseHolder(ctx)
		Expect(err).NotTo(HaveOccurred())
		w.endpoint.Script("", receiver.Step{Delay: answerTime})
		w.publish(ctx, total, hook)
		inFlight := func(c receiver.Counts) bool { return c.Posts >= 8 }
		Expect(w.endpoint.Wait(ctx, "", inFlight)).To(Succeed())

		asked := time.Now()
		Expect(leader.Process.Signal(syscall.SIGTERM)).To(Succeed())
		w.endpoint.Script("", receiver.Step{}) // for what arrives from now on
		Eventually(ctx, leaseHolder).WithTimeout(soon).WithPolling(pollEvery / 2).ShouldNot(Equal(before))
		released := time.Now()
		mu.Lock()
		last := arrivals[len(arrivals)-1]
		mu.Unlock()
		Eventually(ctx, leader.Process.Done()).WithTimeout(soon).Should(BeClosed())
		ended := time.Now()
		waitLeads(ctx, heir)
		took := time.Now()
		w.waitSucceeded(ctx, time.Minute)

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
		Expect(w.endpoint.Counts("")).To(Equal(receiver.Counts{Posts: total, Verified: total, Unique: total, Accepted: total}))
		Expect(leader.Process.Err()).NotTo(HaveOccurred(), "it ends as asked")
		Expect(released).To(BeTemporally(">=", last.Add(answerTime)), "the lease is released after the last answer")
		Expect(goesOn).To(BeTemporally("<", released.Add(5*time.Second)), "the heir goes on within seconds")
	})
})

func since(begin, at time.Time) time.Duration { return at.Sub(begin).Round(10 * time.Millisecond) }
