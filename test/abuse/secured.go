// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

// secured is how a gateway serves over TLS.
type secured struct {
	gateway   *stack.GatewayTLS
	authority *receiver.Authority
}

// newSecured writes a certificate for a gateway on this machine.
func newSecured(folder string) (*secured, error) {
	authority, err := receiver.NewAuthority()
	if err != nil {
		return nil, err
	}
	certificate, err := authority.Issue(time.Now().Add(24*time.Hour), "127.0.0.1")
	if err != nil {
		return nil, err
	}
	cert, key, err := receiver.EncodeCertificate(certificate)
	if err != nil {
		return nil, err
	}
	s := &secured{authority: authority, gateway: &stack.GatewayTLS{
		CertFile: filepath.Join(folder, "gateway.crt"), KeyFile: filepath.Join(folder, "gateway.key"), Roots: authority.Pool(),
	}}
	for file, text := range map[string][]byte{s.gateway.CertFile: cert, s.gateway.KeyFile: key} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			return nil, fmt.Errorf("write the gateway's certificate: %w", err)
		}
	}
	return s, nil
}

// roots vouch for the gateway; nil: it has no certificate.
func (s *secured) roots() *x509.CertPool {
	if s == nil {
		return nil
	}
	return s.authority.Pool()
}

// pem is what vouches for the gateway, for an attacker.
func (s *secured) pem() []byte {
	if s == nil {
		return nil
	}
	return s.authority.PEM()
}
