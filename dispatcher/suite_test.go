// SPDX-License-Identifier: Apache-2.0

package dispatcher_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/dispatcher/netguard"
	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

func TestDispatcher(t *testing.T) {
	RegisterFailHandler(Fail)
	RunSpecs(t, "Dispatcher")
}

const (
	secretText = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	otherText  = "whsec_ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA="
	payload    = `{"event":"context.created","timestamp":"2024-01-15T10:30:00Z","data":{"id":"ctx_1"}}`
)

// loopback is what tests allow: their receivers listen there.
func loopback() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}
}

func attemptAt(url string) dispatcher.Request {
	return dispatcher.Request{
		DeliveryID: "dlv_1", EventID: "evt_1", EventType: "context.created", Attempt: 1, URL: url, Payload: []byte(payload),
		Keys: signature.Keys{Primary: signature.NewSecret(secretText)}, Timeout: 5 * time.Second,
	}
}

func startReceiver(options receiver.Options) *receiver.Receiver {
	GinkgoHelper()
	r, err := receiver.Start(options)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(r.Close)
	Expect(r.Secrets("", secretText)).To(Succeed())
	return r
}

// secure starts a receiver that speaks TLS, and returns options for a Sender
// that trusts it.
func secure() (*receiver.Receiver, dispatcher.SenderOptions) {
	GinkgoHelper()
	authority, certificate := issued(time.Now().Add(time.Hour), "127.0.0.1")
	return startReceiver(receiver.Options{Certificate: certificate}), dispatcher.SenderOptions{RootCAs: authority.Pool()}
}

func issued(notAfter time.Time, hosts ...string) (*receiver.Authority, *tls.Certificate) {
	GinkgoHelper()
	authority, err := receiver.NewAuthority()
	Expect(err).NotTo(HaveOccurred())
	certificate, err := authority.Issue(notAfter, hosts...)
	Expect(err).NotTo(HaveOccurred())
	return authority, certificate
}

// newSender makes one that tells all of loopback, where the receivers are.
func newSender(options dispatcher.SenderOptions) *dispatcher.Sender {
	GinkgoHelper()
	options.ExplainAllowed = true
	return newDiscreet(options)
}

// newDiscreet makes one that tells no more than it does by default.
func newDiscreet(options dispatcher.SenderOptions) *dispatcher.Sender {
	GinkgoHelper()
	if options.Policy == nil {
		options.Policy = netguard.New(netguard.Options{Allow: loopback(), AllowHTTP: true})
	}
	options.UserAgent = "BBMCP-Webhooks/test"
	sender, err := dispatcher.NewSender(options)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(sender.Close)
	return sender
}

// socket is a dispatcher that serves on a unix socket.
type socket struct {
	path   string
	client *dispatcher.Client
	cancel context.CancelFunc
	served chan error
}

func newSocketPath() string {
	GinkgoHelper()
	dir, err := os.MkdirTemp("", "bbmcp") // short: a socket's path has at most 104 bytes
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(os.RemoveAll, dir)
	return filepath.Join(dir, "s")
}

func serve(path string, sender *dispatcher.Sender, grace time.Duration) *socket {
	GinkgoHelper()
	listener, err := net.Listen("unix", path)
	Expect(err).NotTo(HaveOccurred())
	ctx, cancel := context.WithCancel(context.Background())
	s := &socket{path: path, client: dispatcher.NewClient(path), cancel: cancel, served: make(chan error, 1)}
	go func() { s.served <- dispatcher.NewServer(sender, nil).Serve(ctx, listener, grace) }()
	DeferCleanup(func() { cancel(); s.client.Close() })
	return s
}
