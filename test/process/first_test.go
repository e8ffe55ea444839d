// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
	"bbmcp.quietstack.com/webhooks/test/suite"
)

// emitter publishes over REST.
type emitter struct {
	front      *stack.Gateway
	url, token string
	header     http.Header // more of it
	serial     int
}

// newEmitter starts a gateway and gets a token that may publish in a tenant's
// namespace.
func newEmitter(ctx context.Context, t *tenant, args ...string) *emitter {
	GinkgoHelper()
	return newEmitterOf(ctx, t, stack.GatewayOptions{Supervise: true, Args: append([]string{"--allow-unregistered-event-types"}, args...)})
}

// newEmitterOf is newEmitter with a gateway of any kind.
func newEmitterOf(ctx context.Context, t *tenant, options stack.GatewayOptions) *emitter {
	GinkgoHelper()
	front := startGateway(ctx, options)
	token := cluster.NewAccount(ctx, t.namespace, "publisher", suite.Publisher)
	return &emitter{front: front, url: front.URL, token: token}
}

// publish publishes one event and returns the states of its deliveries.
func (e *emitter) publish(ctx context.Context, prefer string) (states []string) {
	GinkgoHelper()
	e.serial++
	status, text := e.post(ctx, fmt.Sprintf("o%d", e.serial), prefer)
	Expect(status).To(Equal(http.StatusAccepted), text)
	var published rest.Published
	Expect(json.Unmarshal([]byte(text), &published)).To(Succeed())
	for _, delivery := range published.Deliveries {
		states = append(states, delivery.Status)
	}
	return states
}

// post publishes an event once, under this id, and returns the status of the
// answer; 0 and the error if there was none.
func (e *emitter) post(ctx context.Context, id, prefer string) (int, string) {
	return postEvent(ctx, http.DefaultClient, e.url, e.token, "order.created", id, prefer, e.header)
}

func postEvent(ctx context.Context, through *http.Client, url, token, kind, id, prefer string, more http.Header) (int, string) {
	body := fmt.Sprintf(`{"event":%q,"data":{"id":%q}}`, kind, id)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/v1/events", strings.NewReader(body))
	if err != nil {
		return 0, err.Error()
	}
	request.Header = http.Header{"Authorization": {"Bearer " + token}, "Content-Type": {"application/json"}, "Idempotency-Key": {id}}
	maps.Copy(request.Header, more)
	if prefer != "" {
		request.Header.Set("Prefer", prefer)
	}
	response, err := through.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

// warm publishes until the gateway delivers at once.
func (e *emitter) warm(ctx context.Context) {
	GinkgoHelper()
	Eventually(ctx, func() []string { return e.publish(ctx, "wait=5") }).Should(Equal([]string{rest.DeliverySucceeded}))
}

var _ = Describe("what published deliveries cost", func() {
	const batch = 100
	// cost returns what the batch has used by the time that it has arrived, and
	// what everything has, with the events that came before it.
	cost := func(ctx context.Context, prefer string, args ...string) (used requests, all func() requests, e *emitter, t *tenant) {
		GinkgoHelper()
		t = newTenant(ctx, receiver.Options{})
		startLeader(ctx, supervised())
		hook := t.declare(ctx, "hook")
		t.ready(ctx, hook)
		start := deliveryRequests(ctx)
		e = newEmitter(ctx, t, args...)
		e.warm(ctx)
		t.waitSucceeded(ctx, time.Minute)
		before := deliveryRequests(ctx)
		for range batch {
			e.publish(ctx, prefer)
		}
		Eventually(ctx, func() int { return t.endpoint.Counts("/hook").Accepted }).Should(BeNumerically(">", batch))
		t.waitSucceeded(ctx, time.Minute)
		used = deliveryRequests(ctx).minus(before)
		measured("%d deliveries with Prefer: %s and %v: %+v", batch, prefer, args, used)
		t.expectVerified()
		return used, func() requests { return deliveryRequests(ctx).minus(start) }, e, t
	}

	It("is nothing for one that is delivered at once", SpecTimeout(2*time.Minute), func(ctx SpecContext) {
		used, _, _, t := cost(ctx, "wait=5", "--record-rate=0", "--record-burst=0")
		Expect(used).To(Equal(requests{}))
		Expect(t.endpoint.Counts("/hook").Duplicates).To(BeZero())
	})

	It("is one create and one status write for its record, within the budget", SpecTimeout(2*time.Minute), func(ctx SpecContext) {
		const most = 25
		used, all, _, _ := cost(ctx, "wait=5", "--record-rate=1", "--record-burst=10")
		Expect(used.creates).To(And(BeNumerically(">", 0), BeNumerically("<=", most)))
		Eventually(ctx, func(g Gomega) { // the latest is recorded a moment later
			used := all()
			g.Expect(used).To(Equal(requests{creates: used.creates, statusUpdates: used.creates}))
		}).Should(Succeed())
	})

	It("is one create and one status write for one that is stored first", SpecTimeout(2*time.Minute), func(ctx SpecContext) {
		_, all, e, _ := cost(ctx, "respond-async")
		n := float64(e.serial) // those before it are records, or were stored first too
		Eventually(ctx, all).Should(Equal(requests{creates: n, statusUpdates: n}))
	})
})
