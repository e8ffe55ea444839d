// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

// emitter publishes over REST.
type emitter struct {
	url, token string
	serial     int
}

// newEmitter starts a gateway and gets a token that may publish in a world's
// namespace.
func newEmitter(ctx context.Context, w *world, args ...string) *emitter {
	GinkgoHelper()
	front, err := cluster.StartGateway(ctx, stack.GatewayOptions{Supervise: true, Args: append([]string{"--allow-unregistered-event-types"}, args...)})
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(front.Kill)
	token, err := cluster.Token(ctx, w.namespace, "publisher", []string{"bbmcp-publisher"})
	Expect(err).NotTo(HaveOccurred())
	return &emitter{url: front.URL, token: token}
}

// publish publishes one event and returns the states of its deliveries.
func (e *emitter) publish(ctx context.Context, prefer string) (states []string) {
	GinkgoHelper()
	e.serial++
	body := fmt.Sprintf(`{"event":"order.created","id":"o%d","data":{"n":%d}}`, e.serial, e.serial)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.url+"/v1/events", bytes.NewReader([]byte(body)))
	Expect(err).NotTo(HaveOccurred())
	request.Header = http.Header{"Authorization": {"Bearer " + e.token}, "Content-Type": {"application/json"}, "Prefer": {prefer}}
	response, err := http.DefaultClient.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	Expect(err).NotTo(HaveOccurred())
	Expect(response.StatusCode).To(Equal(http.StatusAccepted), string(text))
	var published rest.Published
	Expect(json.Unmarshal(text, &published)).To(Succeed())
	for _, delivery := range published.Deliveries {
		states = append(states, delivery.Status)
	}
	return states
}

// warm publishes until the gateway delivers at once.
func (e *emitter) warm(ctx context.Context) {
	GinkgoHelper()
	Eventually(ctx, func() []string { return e.publish(ctx, "wait=5") }).
		WithTimeout(soon).WithPolling(pollEvery).Should(Equal([]string{rest.DeliverySucceeded}))
}

var _ = Describe("what published deliveries cost", func() {
	const batch = 100
	// cost returns what the batch has used by the time that it has arrived, and
	// what everything has, with the events that came before it.
	cost := func(ctx context.Context, prefer string, args ...string) (used requests, all func() requests, e *emitter, w *world) {
		GinkgoHelper()
		w = newWorld(ctx, receiver.Options{})
		startLeader(ctx, supervised())
		hook := w.declare(ctx, "hook")
		w.ready(ctx, hook)
		start := deliveryRequests(ctx)
		e = newEmitter(ctx, w, args...)
		e.warm(ctx)
		w.waitSucceeded(ctx, time.Minute)
		before := deliveryRequests(ctx)
		for range batch {
			e.publish(ctx, prefer)
		}
		Eventually(ctx, func() int { return w.endpoint.Counts("/hook").Accepted }).
			WithTimeout(soon).WithPolling(pollEvery).Should(BeNumerically(">", batch))
		w.waitSucceeded(ctx, time.Minute)
		used = deliveryRequests(ctx).minus(before)
		measured("%d deliveries with Prefer: %s and %v: %+v", batch, prefer, args, used)
		w.expectVerified()
		return used, func() requests { return deliveryRequests(ctx).minus(start) }, e, w
	}

	It("is nothing for one that is delivered at once", SpecTimeout(2*time.Minute), func(ctx SpecContext) {
		used, _, _, w := cost(ctx, "wait=5", "--record-rate=0", "--record-burst=0")
		Expect(used).To(Equal(requests{}))
		Expect(w.endpoint.Counts("/hook").Duplicates).To(BeZero())
	})

	It("is one create and one status write for its record, within the budget", SpecTimeout(2*time.Minute), func(ctx SpecContext) {
		const most = 25
		used, all, _, _ := cost(ctx, "wait=5", "--record-rate=1", "--record-burst=10")
		Expect(used.creates).To(And(BeNumerically(">", 0), BeNumerically("<=", most)))
		Eventually(ctx, func(g Gomega) { // the latest is recorded a moment later
			used := all()
			g.Expect(used).To(Equal(requests{creates: used.creates, statusUpdates: used.creates}))
		}).WithTimeout(soon).WithPolling(pollEvery).Should(Succeed())
	})

	It("is one create and one status write for one that is stored first", SpecTimeout(2*time.Minute), func(ctx SpecContext) {
		_, all, e, _ := cost(ctx, "respond-async")
		n := float64(e.serial) // those before it are records, or were stored first too
		Eventually(ctx, all).WithTimeout(soon).WithPolling(pollEvery).Should(Equal(requests{creates: n, statusUpdates: n}))
	})
})
