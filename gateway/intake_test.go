// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// crowdSize is how many publishers come at the same time: more than two slots store within two seconds, if a create
// takes longer than a millisecond and its slot then stays empty for seven times as long.
const crowdSize = 500

// publishCrowd publishes crowdSize events at the same time.
func publishCrowd(ctx context.Context, api apiClient, id string) []answer {
	GinkgoHelper()
	answers := make([]answer, crowdSize)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() {
			defer GinkgoRecover()
			answers[i] = api.call(ctx, http.MethodPost, "/v1/events", eventBody(fmt.Sprintf(`,"id":"%s-%d"`, id, i)))
		})
	}
	all.Wait()
	return answers
}

var _ = Describe("a burst of events for a failing endpoint", func() {
	It("is stored in part, names the skipped webhook, and reaches the other endpoints", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		api := clientFor(newAccount(ctx, namespace, "publisher", publisher, viewer))
		broken := createActiveWebhook(ctx, namespace, "broken", withRetries(time.Second, time.Minute))
		createActiveWebhook(ctx, namespace, "well")
		awaitWebhooks(ctx, api, 2)
		warmUp(ctx, api)
		endpoint.Script(specPath(namespace, "broken"), receiver.Step{Status: http.StatusInternalServerError})
		for range 5 {
			publishEvent(ctx, api, eventBody(""))
		}

		skipped := map[string]bool{}
		began := time.Now()
		for i, got := range publishCrowd(ctx, api, "skip") {
			id := fmt.Sprintf("skip-%d", i)
			published := decode[rest.Published](got, http.StatusAccepted)
			Expect(len(published.Deliveries)+len(published.Skipped)).To(Equal(2), got.body)
			if len(published.Skipped) > 0 {
				Expect(published.Skipped).To(Equal([]rest.SkippedWebhook{{WebhookID: identity.WebhookID(namespace, "broken"), Reason: rest.SkippedBacklogFull}}))
				skipped[id] = true
			}
		}
		Expect(time.Since(began)).To(BeNumerically("<", 10*time.Second), "nobody waits for long")
		Expect(skipped).NotTo(BeEmpty())
		Expect(len(skipped)).To(BeNumerically("<", crowdSize), "some are stored")
		kept := map[string]bool{}
		for _, delivery := range listDeliveries(ctx, namespace) {
			if delivery.Spec.WebhookRef.Name == "broken" {
				kept[delivery.Spec.EventID] = true
			}
		}
		for i := range crowdSize {
			id := fmt.Sprintf("skip-%d", i)
			Expect(kept[id]).To(Equal(!skipped[id]), id)
			Expect(attemptNumbers(specPath(namespace, "well"), id)).To(Equal([]string{"1"}), id)
		}

		change(ctx, broken, `{"spec":{"overflow":"Refuse"}}`)
		round := 0
		Eventually(ctx, func() (refused []answer) {
			round++
			for _, got := range publishCrowd(ctx, api, fmt.Sprintf("refuse-%d", round)) {
				if got.status != http.StatusAccepted {
					refused = append(refused, got)
				}
			}
			return refused
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(And(Not(BeEmpty()), HaveEach(Satisfy(func(got answer) bool {
			problem := decodeProblem(got, http.StatusTooManyRequests)
			return problem.Reason == "BacklogFull" && strings.Contains(problem.Detail, identity.WebhookID(namespace, "broken")) && got.header.Get("Retry-After") != ""
		}))))
	})
})

var _ = Describe("the right to publish", func() {
	It("is reviewed once for many events that come at the same time", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		proxy, err := cluster.StartAPIProxy()
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(proxy.Close)
		options := gatewayOptions()
		options.Proxy = proxy
		api := apiClient{base: startGateway(ctx, options).URL, token: newAccount(ctx, namespace, "publisher", publisher, viewer)}
		Expect(api.call(ctx, http.MethodGet, "/v1/webhooks", nil).status).To(Equal(http.StatusOK), "the token is known")
		reviews := func() float64 {
			samples, err := cluster.ScrapeAPIServer(ctx)
			Expect(err).NotTo(HaveOccurred())
			return samples.Sum("apiserver_request_total", "resource", "subjectaccessreviews", "verb", "POST")
		}
		before := reviews()
		release := proxy.Hold()
		time.AfterFunc(time.Second, release)
		for _, got := range publishCrowd(ctx, api, "") {
			Expect(got.status).To(Equal(http.StatusAccepted), got.body)
		}
		Expect(reviews()-before).To(BeNumerically("<=", 5), "this, and what the rest of the cluster asks meanwhile")
	})
})
