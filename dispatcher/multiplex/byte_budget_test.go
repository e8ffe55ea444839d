// SPDX-License-Identifier: Apache-2.0

package multiplex_test

import (
	"context"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/dispatcher/multiplex"
)

var _ = Describe("Large requests", func() {
	const room = 1 << 20
	large := strings.Repeat("x", 300<<10) // three of them have room

	It("wait with their client until the budget has room, and are all answered", func(ctx SpecContext) {
		w := startWithBudget(newPath(), 1024, room, time.Second)
		var came []<-chan answer
		for range 12 {
			came = append(came, call(ctx, w.client, timeout, block, large))
		}
		for range 3 {
			Eventually(ctx, w.begun).Should(Receive())
		}
		Consistently(w.begun, "100ms").ShouldNot(Receive())
		Expect(w.client.Call(ctx, timeout, echo, nil, []byte("small"))).To(BeEquivalentTo("small"), "what holds little does not wait")
		close(w.release)
		for _, one := range came {
			Eventually(ctx, one).Should(Receive(Equal(answer{body: large})))
		}
		Expect(w.most.Load()).To(BeNumerically("<=", room))
		Expect(w.refused.Load()).To(BeNumerically("<=", 12), "each is read past once at most")

		refused := w.refused.Load()
		came = nil
		for range 12 {
			came = append(came, call(ctx, w.client, timeout, echo, large))
		}
		for _, one := range came {
			Eventually(ctx, one).Should(Receive(Equal(answer{body: large})))
		}
		Expect(w.refused.Load()).To(Equal(refused), "the client knows the budget now")
	})

	It("are taken one at a time, even if larger than the budget", func(ctx SpecContext) {
		w := startWithBudget(newPath(), 1024, 1, time.Second)
		close(w.release)
		var came []<-chan answer
		for range 5 {
			came = append(came, call(ctx, w.client, timeout, block, large))
		}
		for _, one := range came {
			Eventually(ctx, one).Should(Receive(Equal(answer{body: large})))
		}
		Expect(w.most.Load()).To(BeEquivalentTo(len(large)))
	})

	It("are not taken if the budget stays used up, or their caller has given up", func(ctx SpecContext) {
		w := startWithBudget(newPath(), 1024, 1, time.Second)
		defer close(w.release)
		held := call(ctx, w.client, timeout, block, large)
		Eventually(ctx, w.begun).Should(Receive())
		short, cancel := context.WithCancel(ctx)
		given := call(short, w.client, timeout, echo, large)
		waiting := call(ctx, w.client, time.Millisecond, echo, large)
		Eventually(ctx, func() int64 { return w.refused.Load() }).Should(BeNumerically(">=", 1))
		cancel()
		Eventually(ctx, given).Should(Receive(And(failsWith(multiplex.ErrNotTaken), because(context.Canceled))))
		Eventually(ctx, waiting).WithTimeout(5 * time.Second).Should(Receive(And(failsWith(multiplex.ErrNotTaken), because(context.DeadlineExceeded))))
		Expect(held).NotTo(Receive())
	})

	It("are not taken by a server that ends", func(ctx SpecContext) {
		w := startWithBudget(newPath(), 1024, 1, 0)
		held := call(ctx, w.client, timeout, block, large)
		Eventually(ctx, w.begun).Should(Receive())
		waiting := call(ctx, w.client, timeout, echo, large)
		Eventually(ctx, func() int64 { return w.refused.Load() }).Should(BeNumerically(">=", 1))
		w.cancel()
		Eventually(ctx, waiting).Should(Receive(failsWith(multiplex.ErrNotTaken)))
		Eventually(ctx, held).Should(Receive(failsWith(multiplex.ErrLost)))
		close(w.release)
	})

	It("wait only as long as the server works on requests that their client gave up", func(ctx SpecContext) {
		w := startWithBudget(newPath(), 1024, 1, time.Second)
		short, cancel := context.WithCancel(ctx)
		given := call(short, w.client, timeout, block, large)
		Eventually(ctx, w.begun).Should(Receive())
		cancel()
		Eventually(ctx, given).Should(Receive(failsWith(multiplex.ErrLost)))
		waiting := call(ctx, w.client, timeout, echo, large)
		Eventually(ctx, func() int64 { return w.refused.Load() }).Should(BeNumerically(">=", 1))
		Consistently(w.refused.Load, "250ms").Should(BeNumerically("<=", 5), "it asks now and then")
		close(w.release)
		Eventually(ctx, waiting).Should(Receive(Equal(answer{body: large})))
	})
})
