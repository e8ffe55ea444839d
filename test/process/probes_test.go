// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"

	"bbmcp.quietstack.com/webhooks/internal/childprocess"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
	"bbmcp.quietstack.com/webhooks/test/suite"
)

// replica is a manager or a gateway, as far as kubelet knows it.
type replica interface {
	Dispatcher() *childprocess.Process
	StartDispatcher() error
	Launch() error
	Kill()
}

// seen is a replica and where its probes are.
type seen struct {
	replica

	base    string
	process func() *childprocess.Process
}

func seeManager(m *stack.Manager) seen {
	return seen{m, m.ProbeURL, func() *childprocess.Process { return m.Process }}
}

func seeGateway(g *stack.Gateway) seen {
	return seen{g, g.URL, func() *childprocess.Process { return g.Process }}
}

// probe is what kubelet gets from a path.
func (r seen) probe(ctx context.Context, path string) string {
	ctx, cancel := context.WithTimeout(ctx, time.Second) // kubelet's own
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.base+path, nil)
	if err != nil {
		return err.Error()
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return fmt.Sprintf("%d %s", response.StatusCode, body)
}

// becomes waits for an answer of a probe.
func (r seen) becomes(ctx context.Context, path string, what types.GomegaMatcher) {
	GinkgoHelper()
	Eventually(ctx, func() string { return r.probe(ctx, path) }).WithTimeout(2 * suite.Soon).Should(what)
}

func beOK() types.GomegaMatcher { return HavePrefix("200 ") }

// patient keeps the lease of a leader whatever an API server takes to come back.
func patient() []string { return []string{"--lease-duration=90s", "--renew-deadline=75s"} }

var _ = Describe("the probes", func() {
	DescribeTable("say ready only when caches are filled and the sidecar answers",
		func(ctx SpecContext, start func(SpecContext, *stack.APIProxy) seen) {
			proxy, err := cluster.StartAPIProxy()
			Expect(err).NotTo(HaveOccurred())
			DeferCleanup(proxy.Close)
			goOn := proxy.Hold()
			DeferCleanup(goOn)
			r := start(ctx, proxy)
			r.becomes(ctx, "/healthz", beOK())
			Consistently(ctx, func() string { return r.probe(ctx, "/readyz") }).
				WithTimeout(2*time.Second).ShouldNot(beOK(), "before it has read anything")
			goOn()
			r.becomes(ctx, "/readyz", beOK())

			r.Dispatcher().Stop(0)
			Expect(r.probe(ctx, "/readyz")).NotTo(beOK(), "without its sidecar")
			Expect(r.probe(ctx, "/healthz")).To(beOK(), "without its sidecar")
			Expect(r.StartDispatcher()).To(Succeed())
			r.becomes(ctx, "/readyz", beOK())
		},
		Entry("of a manager", SpecTimeout(2*time.Minute), func(ctx SpecContext, proxy *stack.APIProxy) seen {
			return seeManager(startManager(ctx, stack.ManagerOptions{Proxy: proxy, NotReady: true}))
		}),
		Entry("of a gateway", SpecTimeout(2*time.Minute), func(ctx SpecContext, proxy *stack.APIProxy) seen {
			return seeGateway(startGateway(ctx, stack.GatewayOptions{Proxy: proxy, NotReady: true}))
		}),
	)

	It("say live through an outage of the API server, also to those that start in it", SpecTimeout(4*time.Minute), func(ctx SpecContext) {
		t := newTenant(ctx, receiver.Options{})
		leader := startLeader(ctx, supervised(patient()...))
		t.ready(ctx, t.declare(ctx, "hook"))
		e := newEmitter(ctx, t)
		e.warm(ctx)
		running := []seen{seeManager(leader), seeGateway(e.front)}
		starting := []seen{seeManager(startManager(ctx, supervised(patient()...))), seeGateway(startGateway(ctx, stack.GatewayOptions{}))}
		for _, r := range starting {
			r.process().Stop(suite.Soon)
		}
		Expect(cluster.ControlPlane.KillAPIServer()).To(Succeed())
		began := time.Now()
		for _, r := range starting {
			Expect(r.Launch()).To(Succeed())
			r.becomes(ctx, "/healthz", beOK())
		}
		for time.Since(began) < 12*time.Second {
			for _, r := range running {
				Expect(r.probe(ctx, "/readyz")).To(beOK(), "it goes on with what it has")
			}
			for _, r := range starting {
				Expect(r.probe(ctx, "/readyz")).NotTo(beOK(), "it has read nothing")
			}
			for _, r := range slices.Concat(running, starting) {
				Expect(r.probe(ctx, "/healthz")).To(beOK())
				Expect(r.process().Running()).To(BeTrue(), "it waits for the API server")
			}
			pass(ctx, suite.PollEvery)
		}
		Expect(cluster.ControlPlane.StartAPIServer(ctx)).To(Succeed())
		back := time.Now()
		for _, r := range slices.Concat(running, starting) {
			Expect(r.process().Running()).To(BeTrue())
			r.becomes(ctx, "/readyz", beOK())
		}
		measured("those that started in the outage were ready %s after it", since(back, time.Now()))
		e.warm(ctx)
		t.expectVerified()
	})
})
