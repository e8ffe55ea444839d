// SPDX-License-Identifier: Apache-2.0

package endpoints_test

import (
	"crypto/tls"
	"strings"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/test/endpoints"
)

// A handshake that fails names the likely cause, and what can be set against it.
func TestHandshakesThatFail(t *testing.T) {
	type start = func() (*endpoints.Endpoint, error)
	for name, c := range map[string]struct {
		start   start
		reason  dispatcher.Reason
		message string
		mend    string // GODEBUG with which it succeeds
	}{
		"no intermediate certificate": {endpoints.StartWithoutIntermediate, dispatcher.ReasonCertificateInvalid, "leaves out an intermediate certificate", ""},
		"signed by itself":            {endpoints.StartSelfSigned, dispatcher.ReasonCertificateInvalid, "signed by itself", ""},
		"RSA key exchange only":       {endpoints.StartRSAOnly, dispatcher.ReasonTLSFailed, "GODEBUG=tlsrsakex=1", "tlsrsakex=1"},
		"large first message dropped": {
			func() (*endpoints.Endpoint, error) { return endpoints.StartBehindFirewall(false) },
			dispatcher.ReasonTimeout, "GODEBUG=tlsmlkem=0", "tlsmlkem=0",
		},
		"large first message reset": {
			func() (*endpoints.Endpoint, error) { return endpoints.StartBehindFirewall(true) },
			dispatcher.ReasonConnectionReset, "GODEBUG=tlsmlkem=0", "tlsmlkem=0",
		},
		"client certificate, TLS 1.2": {
			func() (*endpoints.Endpoint, error) { return endpoints.StartClientCertificate(tls.VersionTLS12) },
			dispatcher.ReasonTLSFailed, "client certificate", "",
		},
		"client certificate, TLS 1.3": {
			func() (*endpoints.Endpoint, error) { return endpoints.StartClientCertificate(tls.VersionTLS13) },
			dispatcher.ReasonTLSFailed, "client certificate", "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			endpoint := started[*endpoints.Endpoint](t)(c.start())
			request := attemptAt(endpoint.URL())
			request.Timeout = time.Second
			got := startDispatcher(t, endpoint.CA())(request)
			if got.Reason != c.reason || !strings.Contains(got.Message, c.message) {
				t.Errorf("%s: %s", got.Reason, got.Message)
			}
			t.Logf("%s: %s", got.Reason, got.Message)
			if c.mend == "" {
				return
			}
			t.Setenv("GODEBUG", c.mend)
			request.Timeout = 10 * time.Second
			if got := startDispatcher(t, endpoint.CA())(request); !got.Succeeded() {
				t.Errorf("with GODEBUG=%s: %+v", c.mend, got)
			}
		})
	}
}
