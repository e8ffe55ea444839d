// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/api/rest"
)

// firstAnswer sends the header of a request with a body that waits to be asked for,
// and returns the status of the first answer: 100 asks for it.
func firstAnswer(ctx context.Context, token, method, path string, header ...string) int {
	GinkgoHelper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", shared.Host())
	Expect(err).NotTo(HaveOccurred())
	defer conn.Close()
	Expect(conn.SetDeadline(time.Now().Add(soon))).To(Succeed())
	lines := append([]string{
		method + " " + path + " HTTP/1.1", "Host: " + shared.Host(), "Authorization: Bearer " + token,
		"Content-Length: 50000", "Expect: 100-continue",
	}, header...)
	_, err = fmt.Fprint(conn, strings.Join(lines, "\r\n")+"\r\n\r\n")
	Expect(err).NotTo(HaveOccurred())
	line, err := bufio.NewReader(conn).ReadString('\n')
	Expect(err).NotTo(HaveOccurred())
	var status int
	_, err = fmt.Sscanf(line, "HTTP/1.1 %d", &status)
	Expect(err).NotTo(HaveOccurred(), line)
	return status
}

const (
	asJSON = "Content-Type: application/json"
)

// binary are the headers of a CloudEvent of a type.
func binary(eventType string) []string {
	return []string{asJSON, "Ce-Specversion: 1.0", "Ce-Id: 1", "Ce-Source: /s", "Ce-Type: " + eventType}
}

// batchOfEvents is a batch of so many bytes.
func batchOfEvents(bytes int) string {
	const items = 80
	data := eventData(fmt.Sprintf(`,"note":%q`, strings.Repeat("x", bytes/items-500)))
	all := make([]string, items)
	for i := range all {
		all[i] = fmt.Sprintf(`{"specversion":"1.0","id":"%d","source":"/s","type":%q,"data":%s}`, i, eventType, data)
	}
	return "[" + strings.Join(all, ",") + "]"
}

var _ = Describe("the body of a request", func() {
	It("is not asked for before it is known who sends it", func(ctx SpecContext) {
		t := newTenant(ctx)
		for _, r := range rights {
			method, path := r.request(t.webhook, t.delivery, "")
			if r.body == nil {
				continue
			}
			Expect(firstAnswer(ctx, "a.b.c", method, path, asJSON)).To(Equal(http.StatusUnauthorized), r.call)
			Expect(firstAnswer(ctx, t.owner, method, path, asJSON)).To(Equal(http.StatusContinue), r.call)
		}
	}, SpecTimeout(time.Minute))

	It("is not asked for before the right where the header names the event type", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		Expect(firstAnswer(ctx, account(ctx, namespace, "nobody"), http.MethodPost, "/v1/events", binary(eventType)...)).To(Equal(http.StatusForbidden))
		Expect(firstAnswer(ctx, account(ctx, namespace, "publisher", publisher), http.MethodPost, "/v1/events", binary(eventType)...)).To(Equal(http.StatusContinue))
		Expect(firstAnswer(ctx, account(ctx, namespace, "publisher"), http.MethodPost, "/v1/events", binary("not a type")...)).To(Equal(http.StatusUnprocessableEntity))
	}, SpecTimeout(time.Minute))

	It("of a caller that gets nothing but refusals may be small only, for a minute", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		nobody := as(account(ctx, namespace, "nobody")).with("Content-Type", "application/cloudevents-batch+json")
		batch := batchOfEvents(2 << 20)
		first := decode[rest.BatchPublished](nobody.call(ctx, http.MethodPost, "/v1/events", batch), http.StatusMultiStatus)
		Expect(first.Results[0].Status).To(Equal(no))
		second := nobody.call(ctx, http.MethodPost, "/v1/events", batch)
		Expect(refusal(second, http.StatusServiceUnavailable).Reason).To(Equal("Overloaded"))
		Expect(second.header.Get("Retry-After")).To(Equal("60"))
		refusal(as(account(ctx, namespace, "nobody")).call(ctx, http.MethodPost, "/v1/events", eventBody("")), no)

		other := as(account(ctx, namespace, "publisher", publisher)).with("Content-Type", "application/cloudevents-batch+json")
		for range 2 {
			decode[rest.BatchPublished](other.call(ctx, http.MethodPost, "/v1/events", batch), http.StatusAccepted)
		}
	}, SpecTimeout(time.Minute))

	It("that is too large is refused before it is sent", func(ctx SpecContext) {
		token := account(ctx, newNamespace(ctx), "publisher", publisher)
		large := strings.Repeat(" ", 2<<20)
		Expect(refusal(as(token).call(ctx, http.MethodPost, "/v1/events", large), http.StatusRequestEntityTooLarge).Reason).To(Equal("TooLarge"))
		Expect(refusal(as(token).call(ctx, http.MethodPost, "/v1/webhooks", large), http.StatusRequestEntityTooLarge).Reason).To(Equal("TooLarge"))
	}, SpecTimeout(time.Minute))
})
