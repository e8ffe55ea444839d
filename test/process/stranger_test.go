// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
	"bbmcp.quietstack.com/webhooks/test/suite"
)

// announce begins a request with a body of 200 kB and sends none of it.
func announce(base, path, header string) net.Conn {
	GinkgoHelper()
	at, err := url.Parse(base)
	Expect(err).NotTo(HaveOccurred())
	conn, err := net.Dial("tcp", at.Host)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(conn.Close)
	_, err = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 200000\r\n%s\r\n", path, at.Host, header)
	Expect(err).NotTo(HaveOccurred())
	return conn
}

var _ = Describe("a peer that announces a body and sends none", func() {
	It("is answered, and its connection closed, by every listener of every process", SpecTimeout(2*time.Minute), func(ctx SpecContext) {
		manager := startManager(ctx, supervised())
		front := startGateway(ctx, stack.GatewayOptions{Supervise: true})
		for name, base := range map[string]string{
			"REST API": front.URL, "metrics of the gateway": front.MetricsURL, "metrics of a dispatcher": front.DispatcherMetricsURL,
			"metrics of the manager": manager.MetricsURL, "probes of the manager": manager.ProbeURL,
		} {
			By(name)
			conn := announce(base, "/nothing", "")
			Expect(conn.SetDeadline(time.Now().Add(5 * time.Second))).To(Succeed())
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			Expect(err).NotTo(HaveOccurred(), name)
			Expect(response.StatusCode).To(Equal(http.StatusNotFound), name)
			_, err = io.ReadAll(response.Body)
			Expect(err).NotTo(HaveOccurred())
			Expect(response.Body.Close()).To(Succeed())
			_, err = conn.Read(make([]byte, 1))
			Expect(err).To(MatchError(io.EOF), name)
		}
	})

	It("does not keep a gateway that is asked to stop from settling what it has under way", SpecTimeout(2*time.Minute), func(ctx SpecContext) {
		const grace, answerTime = 2 * time.Second, 5 * time.Second
		t := newTenant(ctx, receiver.Options{})
		startLeader(ctx, supervised())
		t.ready(ctx, t.declare(ctx, "hook"))
		e := newEmitter(ctx, t, fmt.Sprintf("--drain-grace=%s", grace))
		e.warm(ctx)
		t.waitSucceeded(ctx, suite.Soon)
		before := t.endpoint.Counts("")
		t.endpoint.Script("/hook", receiver.Step{Delay: answerTime})
		announce(e.url, "/v1/events", "Authorization: Bearer "+e.token+"\r\nContent-Type: application/json\r\n")
		Expect(e.publish(ctx, "wait=1")).To(Equal([]string{"pending"}), "its attempt is out")

		asked := time.Now()
		Expect(e.front.Process.Signal(syscall.SIGTERM)).To(Succeed())
		Eventually(ctx, e.front.Process.Done()).Should(BeClosed())
		measured("with a body that does not arrive, and an attempt under way, it ended %s after SIGTERM", since(asked, time.Now()))
		Expect(e.front.Process.Err()).To(HaveOccurred(), "it tells that it had to cut something off")
		Expect(e.front.Process.LogTail()).To(ContainSubstring("1 requests were still under way"))
		t.endpoint.Script("/hook", receiver.Step{})
		t.waitSucceeded(ctx, suite.Soon)
		Expect(t.endpoint.Counts("").Posts-before.Posts).To(Equal(1), "nobody has to send it again")
	})
})

var _ = Describe("a load balancer that keeps connections", func() {
	It("may use an idle one until --drain-delay after SIGTERM, and is asked to use another", SpecTimeout(time.Minute), func(ctx SpecContext) {
		front := startGateway(ctx, stack.GatewayOptions{Supervise: true, Args: []string{"--drain-delay=3s"}})
		at, err := url.Parse(front.URL)
		Expect(err).NotTo(HaveOccurred())
		conn, err := net.Dial("tcp", at.Host)
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(conn.Close)
		answers := bufio.NewReader(conn)
		ask := func() *http.Response {
			GinkgoHelper()
			_, err := fmt.Fprintf(conn, "GET /openapi.json HTTP/1.1\r\nHost: %s\r\n\r\n", at.Host)
			Expect(err).NotTo(HaveOccurred())
			response, err := http.ReadResponse(answers, nil)
			Expect(err).NotTo(HaveOccurred())
			_, err = io.ReadAll(response.Body)
			Expect(err).NotTo(HaveOccurred())
			return response
		}
		Expect(ask().Close).To(BeFalse())
		Expect(front.Process.Signal(syscall.SIGTERM)).To(Succeed())
		isDraining := func(ctx context.Context) string { return seeGateway(front).probe(ctx, "/readyz") }
		Eventually(ctx, isDraining).ShouldNot(beOK())
		Expect(ask().Close).To(BeTrue())
		Eventually(ctx, front.Process.Done()).Should(BeClosed())
		Expect(front.Process.Err()).NotTo(HaveOccurred())
	})
})
