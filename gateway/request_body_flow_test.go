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

// firstStatus sends the header of a request with a body that waits to be asked for,
// and returns the status of the first answer: 100 asks for it.
func firstStatus(ctx context.Context, token, method, path string, header ...string) int {
	GinkgoHelper()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", sharedGateway.Host())
	Expect(err).NotTo(HaveOccurred())
	defer conn.Close()
	Expect(conn.SetDeadline(time.Now().Add(eventualTimeout))).To(Succeed())
	lines := append([]string{
		method + " " + path + " HTTP/1.1", "Host: " + sharedGateway.Host(), "Authorization: Bearer " + token,
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

// binaryHeaders are the headers of a CloudEvent of a type.
func binaryHeaders(eventType string) []string {
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
	It("is not requested before its sender is authenticated", func(ctx SpecContext) {
		t := newTenant(ctx)
		for _, r := range rights {
			method, path := r.request(t.webhook, t.delivery, "")
			if r.body == nil {
				continue
			}
			Expect(firstStatus(ctx, "a.b.c", method, path, asJSON)).To(Equal(http.StatusUnauthorized), r.call)
			Expect(firstStatus(ctx, t.owner, method, path, asJSON)).To(Equal(http.StatusContinue), r.call)
		}
	}, SpecTimeout(time.Minute))

	It("is not requested before the right is checked, where a header names the event type", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		Expect(firstStatus(ctx, newAccount(ctx, namespace, "nobody"), http.MethodPost, "/v1/events", binaryHeaders(eventType)...)).To(Equal(http.StatusForbidden))
		Expect(firstStatus(ctx, newAccount(ctx, namespace, "publisher", publisher), http.MethodPost, "/v1/events", binaryHeaders(eventType)...)).To(Equal(http.StatusContinue))
		Expect(firstStatus(ctx, newAccount(ctx, namespace, "publisher"), http.MethodPost, "/v1/events", binaryHeaders("not a type")...)).To(Equal(http.StatusUnprocessableEntity))
	}, SpecTimeout(time.Minute))

	It("may only be small for a minute, for a caller whose requests were all refused", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		nobody := clientFor(newAccount(ctx, namespace, "nobody")).withHeader("Content-Type", "application/cloudevents-batch+json")
		batch := batchOfEvents(2 << 20)
		first := decode[rest.BatchPublished](nobody.call(ctx, http.MethodPost, "/v1/events", batch), http.StatusMultiStatus)
		Expect(first.Results[0].Status).To(Equal(forbidden403))
		second := nobody.call(ctx, http.MethodPost, "/v1/events", batch)
		Expect(decodeProblem(second, http.StatusServiceUnavailable).Reason).To(Equal("Overloaded"))
		Expect(second.header.Get("Retry-After")).To(Equal("60"))
		decodeProblem(clientFor(newAccount(ctx, namespace, "nobody")).call(ctx, http.MethodPost, "/v1/events", eventBody("")), forbidden403)

		other := clientFor(newAccount(ctx, namespace, "publisher", publisher)).withHeader("Content-Type", "application/cloudevents-batch+json")
		for range 2 {
			decode[rest.BatchPublished](other.call(ctx, http.MethodPost, "/v1/events", batch), http.StatusAccepted)
		}
	}, SpecTimeout(time.Minute))

	It("is refused before it is sent, if its length is too large", func(ctx SpecContext) {
		token := newAccount(ctx, newNamespace(ctx), "publisher", publisher)
		large := strings.Repeat(" ", 2<<20)
		Expect(decodeProblem(clientFor(token).call(ctx, http.MethodPost, "/v1/events", large), http.StatusRequestEntityTooLarge).Reason).To(Equal("TooLarge"))
		Expect(decodeProblem(clientFor(token).call(ctx, http.MethodPost, "/v1/webhooks", large), http.StatusRequestEntityTooLarge).Reason).To(Equal("TooLarge"))
	}, SpecTimeout(time.Minute))
})
