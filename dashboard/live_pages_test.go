// SPDX-License-Identifier: Apache-2.0

package dashboard_test

import (
	"bufio"
	"context"
	"maps"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/test/stack"
)

// stream is a page that follows.
type stream struct {
	status int
	events chan string // names of events; closed with the stream
	stop   context.CancelFunc
}

func (p *person) stream(ctx context.Context, path string) *stream {
	GinkgoHelper()
	ctx, stop := context.WithCancel(ctx)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+path, nil)
	Expect(err).NotTo(HaveOccurred())
	response, err := p.client.Do(request)
	Expect(err).NotTo(HaveOccurred())
	s := &stream{status: response.StatusCode, events: make(chan string, 1000), stop: stop}
	go func() {
		defer close(s.events)
		defer response.Body.Close()
		lines := bufio.NewScanner(response.Body)
		for lines.Scan() {
			if name, found := strings.CutPrefix(lines.Text(), "event: "); found {
				s.events <- name
			}
		}
	}()
	return s
}

var _ = Describe("a live page", func() {
	It("is notified of changes to its own objects only, at most once a second", func(ctx SpecContext) {
		t, other := newTenant(ctx), newTenant(ctx)
		p := signIn(ctx, t.member(ctx, "all"))
		base := "/dashboard/ns/" + t.namespace
		whole, webhook := p.stream(ctx, base+"/live"), p.stream(ctx, base+"/live?webhook="+t.webhook)
		one, none := p.stream(ctx, base+"/live?delivery="+t.delivery), p.stream(ctx, base+"/live?delivery=dlv_other")
		for _, s := range []*stream{whole, webhook, one, none} {
			defer s.stop()
			Eventually(s.events).WithTimeout(eventualTimeout).Should(Receive(Equal("ready")))
		}
		source := newAccount(ctx, t.namespace, "source", publisher)
		for range 20 {
			publishEvent(ctx, source, readExample("context.created"))
		}
		Eventually(whole.events).WithTimeout(eventualTimeout).Should(Receive(Equal("change")))
		Eventually(webhook.events).WithTimeout(eventualTimeout).Should(Receive(Equal("change")))
		p.send(ctx, http.MethodPost, base+"/deliveries/"+t.delivery+"/retry", nil)
		Eventually(one.events).WithTimeout(eventualTimeout).Should(Receive(Equal("change")))
		publishEvent(ctx, newAccount(ctx, other.namespace, "source", publisher), readExample("context.created"))
		Consistently(none.events).WithTimeout(2 * time.Second).ShouldNot(Receive())
		Expect(len(whole.events)).To(BeNumerically("<", 12), "changes are told together")
	}, SpecTimeout(time.Minute))

	It("needs the right to see its objects", func(ctx SpecContext) {
		t := newTenant(ctx)
		p := signIn(ctx, t.member(ctx, viewer))
		base := "/dashboard/ns/" + t.namespace + "/live"
		for path, want := range map[string]int{"": ok, "?webhook=" + t.webhook: ok, "?delivery=" + t.delivery: forbidden} {
			s := p.stream(ctx, base+path)
			s.stop()
			Expect(s.status).To(Equal(want), path)
		}
		s := p.stream(ctx, "/dashboard/ns/default/live")
		s.stop()
		Expect(s.status).To(Equal(forbidden))
	}, SpecTimeout(time.Minute))

	It("is one of at most twenty of a caller; further pages poll", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		p := signIn(ctx, newAccount(ctx, namespace, "person", viewer))
		path := "/dashboard/ns/" + namespace + "/live"
		var open []*stream
		for range 20 {
			s := p.stream(ctx, path)
			Expect(s.status).To(Equal(ok))
			open = append(open, s)
		}
		refused := p.stream(ctx, path)
		Expect(refused.status).To(Equal(http.StatusTooManyRequests))
		somebodyElse := signIn(ctx, newAccount(ctx, namespace, "else", viewer)).stream(ctx, path)
		Expect(somebodyElse.status).To(Equal(ok))
		somebodyElse.stop()
		for _, s := range open {
			s.stop()
		}
		Eventually(ctx, func() int {
			s := p.stream(ctx, path)
			s.stop()
			return s.status
		}).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(Equal(ok))
	}, SpecTimeout(time.Minute))

	It("does not delay the shutdown of a replica", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		gateway, err := cluster.StartGateway(ctx, stack.GatewayOptions{})
		Expect(err).NotTo(HaveOccurred())
		p := newPerson()
		p.base = gateway.URL
		p.header.Set("Authorization", "Bearer "+newAccount(ctx, namespace, "person", viewer))
		p.visit(ctx, "/dashboard/")
		Expect(p.status).To(Equal(ok))
		p.client.Transport = headerTransport(p.header)
		s := p.stream(ctx, "/dashboard/ns/"+namespace+"/live")
		Eventually(s.events).WithTimeout(eventualTimeout).Should(Receive(Equal("ready")))
		began := time.Now()
		gateway.Stop()
		Eventually(s.events).WithTimeout(eventualTimeout).Should(BeClosed())
		Expect(time.Since(began)).To(BeNumerically("<", 5*time.Second))
	}, SpecTimeout(time.Minute))

	It("does not exist if the operator turns the dashboard off", func(ctx SpecContext) {
		gateway, err := cluster.StartGateway(ctx, stack.GatewayOptions{Args: []string{"--dashboard=false"}})
		Expect(err).NotTo(HaveOccurred())
		defer gateway.Stop()
		p := newPerson()
		p.base = gateway.URL
		p.visit(ctx, "/dashboard/")
		Expect(p.status).To(Equal(http.StatusNotFound))
	}, SpecTimeout(time.Minute))
})

// headerTransport adds headers to every request.
type headerTransport http.Header

func (h headerTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	maps.Copy(request.Header, http.Header(h))
	return http.DefaultTransport.RoundTrip(request)
}
