// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/util/workqueue"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

// publishers is how many clients publish at once.
const publishers = 8

// publishUntilAccepted publishes until the answer is 202, as a publisher does that repeats an event under its id.
func publishUntilAccepted(ctx context.Context, api apiClient, body string) (got rest.Published, tries int) {
	GinkgoHelper()
	Eventually(ctx, func() (int, error) {
		tries++
		answered, err := api.try(ctx, http.MethodPost, "/v1/events", body)
		if err == nil && answered.status == http.StatusAccepted {
			got = decode[rest.Published](answered, http.StatusAccepted)
		} else if err == nil && answered.status < http.StatusInternalServerError {
			StopTrying(answered.body).Now()
		}
		return answered.status, err
	}).WithTimeout(2 * time.Minute).WithPolling(pollEvery).Should(Equal(http.StatusAccepted))
	return got, tries
}

// numberedEvent is an event whose id and data contain its number.
func numberedEvent(i int) string {
	return fmt.Sprintf(`{"event":%q,"id":"e%d","data":%s}`, eventType, i, eventData(fmt.Sprintf(`,"n":%d`, i)))
}

// inParallel calls f for 0 to n-1, by several publishers at once.
func inParallel(ctx context.Context, n int, f func(i int)) {
	GinkgoHelper()
	workqueue.ParallelizeUntil(ctx, publishers, n, func(i int) {
		defer GinkgoRecover()
		f(i)
	})
}

// expectEachOnce expects that the stored deliveries are n events for so many webhooks: each once, with one timestamp an
// event.
func expectEachOnce(ctx context.Context, namespace string, events, webhooks int) {
	GinkgoHelper()
	byEvent := map[string][]v1alpha1.WebhookDelivery{}
	for _, delivery := range listDeliveries(ctx, namespace) {
		byEvent[delivery.Spec.EventID] = append(byEvent[delivery.Spec.EventID], delivery)
	}
	Expect(byEvent).To(HaveLen(events))
	for id, all := range byEvent {
		refs := map[string]bool{}
		for _, delivery := range all {
			refs[delivery.Spec.WebhookRef.Name] = true
		}
		Expect([]int{len(all), len(refs)}).To(Equal([]int{webhooks, webhooks}), id)
		Expect(payloadTimestamps(all)).To(HaveLen(1), "%s has one timestamp", id)
	}
}

var _ = Describe("publishing during faults", func() {
	var namespace, token string
	BeforeEach(func(ctx SpecContext) {
		namespace = newNamespace(ctx)
		token = newAccount(ctx, namespace, "publisher", publisher, viewer, deliveryViewer)
	})
	start := func(ctx context.Context, proxy *stack.APIProxy) *stack.Gateway {
		GinkgoHelper()
		options := gatewayOptions()
		options.Proxy = proxy
		own, err := cluster.StartGateway(ctx, options)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(own.Kill)
		return own
	}
	behindProxy := func(ctx context.Context) (*stack.APIProxy, apiClient) {
		GinkgoHelper()
		proxy, err := cluster.StartAPIProxy()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(proxy.Close)
		return proxy, apiClient{base: start(ctx, proxy).URL, token: token}
	}

	DescribeTable("delivers every accepted event to three endpoints while gateways are killed and started", func(ctx SpecContext, prefer string) {
		n := testSize(200, 2000)
		arriving, err := receiver.Start(receiver.Options{Keep: 4 * n})
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(arriving.Close)
		own := start(ctx, nil)
		api := apiClient{base: own.URL, token: token}.withHeader("Prefer", prefer)
		stores := prefer == "respond-async"
		for _, name := range []string{"a", "b", "c"} {
			Expect(cluster.Client.Create(ctx, &v1alpha1.Webhook{
				ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
				Spec:       v1alpha1.WebhookSpec{URL: arriving.URL("/" + name), Events: []string{"*"}},
			})).To(Succeed())
		}
		awaitWebhooks(ctx, api, 3)

		began := time.Now()
		var done, repeated atomic.Int64
		var killing sync.WaitGroup
		killing.Go(func() {
			defer GinkgoRecover()
			for _, part := range []int{n / 4, n / 2, n * 3 / 4} {
				Eventually(ctx, done.Load).WithTimeout(time.Minute).WithPolling(time.Millisecond).Should(BeNumerically(">=", part))
				own.Process.Stop(0)
				Expect(own.Restart(ctx)).To(Succeed())
			}
		})
		inParallel(ctx, n, func(i int) {
			got, tries := publishUntilAccepted(ctx, api, numberedEvent(i))
			Expect(got.Deliveries).To(HaveLen(3))
			repeated.Add(int64(min(tries-1, 1)))
			done.Add(1)
		})
		killing.Wait()
		Expect(arriving.Wait(ctx, "", func(c receiver.Counts) bool { return c.Unique == 3*n })).To(Succeed())
		counts := arriving.Counts("")
		if stores {
			expectEachOnce(ctx, namespace, n, 3)
			Expect([]int{counts.Posts, counts.Duplicates}).To(Equal([]int{3 * n, 0}))
		}
		Expect(counts.Duplicates).To(BeNumerically("<=", 3*3*publishers), "what was out at three kills")
		bodies := map[string]map[string]bool{}
		for _, one := range arriving.Received("") {
			if bodies[one.EventID] == nil {
				bodies[one.EventID] = map[string]bool{}
			}
			bodies[one.EventID][one.Body] = true
		}
		Expect(bodies).To(HaveLen(n))
		for id, all := range bodies {
			if stores { // else the timestamp of a repetition differs
				Expect(all).To(HaveLen(1), "%s is the same everywhere", id)
			}
		}
		Expect(repeated.Load()).To(BeNumerically(">", 0), "the kills hit requests")
		reportFigure("%d events to 3 endpoints, gateway killed 3 times: %d POSTs, %d duplicates, %d events repeated, %s", n, counts.Posts, counts.Duplicates, repeated.Load(), time.Since(began).Round(100*time.Millisecond))
	},
		Entry("when deliveries are stored first", SpecTimeout(10*time.Minute), "respond-async"),
		Entry("when deliveries are attempted first", SpecTimeout(10*time.Minute), "wait=5"),
	)

	It("agrees on one timestamp with a replica that publishes the same event at once", func(ctx SpecContext) {
		first, second := start(ctx, nil), start(ctx, nil)
		api := []apiClient{{base: first.URL, token: token}, {base: second.URL, token: token}}
		createSuspendedWebhooks(ctx, api[0], namespace, "a", "b", "c")
		awaitWebhooks(ctx, api[1], 3)
		n := testSize(100, 1000)
		inParallel(ctx, n, func(i int) {
			var got [2]rest.Published
			var both sync.WaitGroup
			for replica := range api {
				both.Go(func() {
					defer GinkgoRecover()
					got[replica] = publishEvent(ctx, api[replica], numberedEvent(i))
				})
			}
			both.Wait()
			Expect(got[0].Deliveries).To(ConsistOf(got[1].Deliveries))
		})
		expectEachOnce(ctx, namespace, n, 3)
		reportFigure("%d events published on two replicas at once: %d deliveries", n, 3*n)
	}, SpecTimeout(5*time.Minute))

	It("stores each delivery once though answers to creates get lost", func(ctx SpecContext) {
		proxy, api := behindProxy(ctx)
		createSuspendedWebhooks(ctx, api, namespace, "a", "b", "c")
		proxy.LoseCreates(5)
		n := testSize(40, 400)
		inParallel(ctx, n, func(i int) {
			got, _ := publishUntilAccepted(ctx, api, numberedEvent(i))
			Expect(got.Deliveries).To(HaveLen(3))
		})
		Expect(proxy.Lost()).To(BeNumerically(">=", 3*n/5))
		proxy.LoseCreates(0)
		expectEachOnce(ctx, namespace, n, 3)
		reportFigure("%d events, %d answers to creates lost: %d deliveries", n, proxy.Lost(), 3*n)
	}, SpecTimeout(5*time.Minute))

	It("succeeds within the request when one answer to a create gets lost", func(ctx SpecContext) {
		proxy, api := behindProxy(ctx)
		createSuspendedWebhooks(ctx, api, namespace, "a")
		proxy.LoseCreates(2) // never two in a row: one publisher, one webhook
		const n = 6
		for i := range n {
			Expect(publishEvent(ctx, api, numberedEvent(i)).Deliveries).To(HaveLen(1), "without being asked again")
		}
		Expect(proxy.Lost()).To(BeNumerically(">=", n-1))
		expectEachOnce(ctx, namespace, n, 1)
	})

	It("answers 503 with the id when creates get no answer, and publishing again completes the event", func(ctx SpecContext) {
		proxy, api := behindProxy(ctx)
		createSuspendedWebhooks(ctx, api, namespace, "a", "b", "c")
		proxy.LoseCreates(1)
		got := api.call(ctx, http.MethodPost, "/v1/events", eventBody(""))
		problem := decodeProblem(got, http.StatusServiceUnavailable)
		Expect(problem.EventID).To(HavePrefix("evt_"))
		Expect(got.header.Get("Retry-After")).NotTo(BeEmpty())
		proxy.LoseCreates(0)
		again := publishEvent(ctx, api.withHeader("Idempotency-Key", problem.EventID), eventBody(""))
		Expect(again.Deliveries).To(HaveLen(3))
		expectEachOnce(ctx, namespace, 1, 3)
	})

	It("answers 503 in time while the API server hangs", func(ctx SpecContext) {
		proxy, api := behindProxy(ctx)
		createSuspendedWebhooks(ctx, api, namespace, "a", "b", "c")
		publishEvent(ctx, api, eventBody(`,"id":"before"`)) // rights are known now
		release := proxy.Hold()
		DeferCleanup(release)
		began := time.Now()
		problem := decodeProblem(api.call(ctx, http.MethodPost, "/v1/events", eventBody(`,"id":"e1"`)), http.StatusServiceUnavailable)
		took := time.Since(began)
		Expect([]string{problem.Reason, problem.EventID}).To(Equal([]string{"Unavailable", "e1"}))
		Expect(took).To(BeNumerically("<", 15*time.Second))
		release()
		got, _ := publishUntilAccepted(ctx, api, eventBody(`,"id":"e1"`))
		Expect(got.Deliveries).To(HaveLen(3))
		expectEachOnce(ctx, namespace, 2, 3)
		reportFigure("an API server that hangs: 503 after %s", took.Round(100*time.Millisecond))
	}, SpecTimeout(2*time.Minute))

	It("delivers to ten webhooks at once while the API server hangs, also when their secrets are due to be read", func(ctx SpecContext) {
		proxy, api := behindProxy(ctx)
		for i := range 10 {
			createActiveWebhook(ctx, namespace, fmt.Sprintf("w%d", i))
		}
		awaitWebhooks(ctx, api, 10)
		warmUp(ctx, api)
		release := proxy.Hold()
		DeferCleanup(release)
		slowest := time.Duration(0)
		Consistently(ctx, func(g Gomega) {
			began := time.Now()
			g.Expect(deliveryStates(publishEvent(ctx, api, eventBody("")))).To(HaveEach(rest.DeliverySucceeded))
			slowest = max(slowest, time.Since(began))
			g.Expect(slowest).To(BeNumerically("<", time.Second))
		}).WithTimeout(35 * time.Second).WithPolling(200 * time.Millisecond).Should(Succeed()) // secrets count as new for 30 s
		reportFigure("events to 10 webhooks while the API server hangs: the slowest took %s", slowest.Round(time.Millisecond))
	}, SpecTimeout(2*time.Minute))

	It("answers 503 when the API server is away, and another replica completes the event", func(ctx SpecContext) {
		proxy, api := behindProxy(ctx)
		createSuspendedWebhooks(ctx, api, namespace, "a", "b", "c")
		first := publishEvent(ctx, api, eventBody(`,"id":"before"`))
		proxy.Close()
		problem := decodeProblem(api.call(ctx, http.MethodPost, "/v1/events", eventBody(`,"id":"e1"`)), http.StatusServiceUnavailable)
		Expect(problem.EventID).To(Equal("e1"))
		Expect(listDeliveries(ctx, namespace)).To(HaveLen(3))
		Expect(publishEvent(ctx, api, eventBody(`,"id":"before"`))).To(Equal(first), "what is known is told")
		got, _ := publishUntilAccepted(ctx, clientFor(token), eventBody(`,"id":"e1"`))
		Expect(got.Deliveries).To(HaveLen(3))
		expectEachOnce(ctx, namespace, 2, 3)
	})

	It("takes one write and no read of the API server for each delivery", func(ctx SpecContext) {
		api := apiClient{base: start(ctx, nil).URL, token: token}
		createSuspendedWebhooks(ctx, api, namespace, "a", "b", "c")
		publishEvent(ctx, api, eventBody(`,"id":"before"`)) // rights are known now
		requests := func(verb, resource string) float64 {
			samples, err := cluster.ScrapeAPIServer(ctx)
			Expect(err).NotTo(HaveOccurred())
			return samples.Sum("apiserver_request_total", "verb", verb, "resource", resource)
		}
		kinds := [][2]string{{"POST", "webhookdeliveries"}, {"GET", "webhookdeliveries"}, {"POST", "subjectaccessreviews"}, {"POST", "tokenreviews"}}
		count := func() (all []float64) {
			for _, kind := range kinds {
				all = append(all, requests(kind[0], kind[1]))
			}
			return all
		}
		before := count()
		n := testSize(100, 1000)
		took := make([]time.Duration, n)
		inParallel(ctx, n, func(i int) {
			began := time.Now()
			publishEvent(ctx, api, numberedEvent(i))
			took[i] = time.Since(began)
		})
		after := count()
		for i := range after {
			after[i] -= before[i]
		}
		Expect(after[0]).To(Equal(float64(3*n)), "creates of deliveries")
		// The manager may read what earlier specs left, and delete it.
		Expect(after[1]).To(BeNumerically("<", 10), "reads of deliveries")
		Expect(after[2]+after[3]).To(BeNumerically("<", 10), "reviews")
		slices.Sort(took)
		reportFigure("%d events to 3 webhooks, %d publishers: %v requests to the API server (create, get, access review, token review); p50 %s, p99 %s", n, publishers, after,
			took[n/2].Round(100*time.Microsecond), took[n*99/100].Round(100*time.Microsecond))
	}, SpecTimeout(5*time.Minute))
})
