// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// componentProbe is a health check over HTTPS.
type componentProbe struct {
	url    string
	client *http.Client
}

// newComponentProbe trusts ca and presents pair.
func newComponentProbe(url string, ca *authority, pair keyPair) (componentProbe, error) {
	cert, err := tls.X509KeyPair(pair.cert, pair.key)
	if err != nil {
		return componentProbe{}, fmt.Errorf("probe of %s: %w", url, err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(ca.parsed)
	return componentProbe{url: url, client: &http.Client{
		Timeout: time.Second,
		Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12},
		},
	}}, nil
}

func (p componentProbe) check(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 4<<10))
	if err != nil {
		return fmt.Errorf("read answer of %s: %w", p.url, err)
	}
	if resp.StatusCode != http.StatusOK {
		return errors.New(p.url + ": " + resp.Status + ": " + failedProbeChecks(string(body)))
	}
	return nil
}

// failedProbeChecks keeps the lines of a health report that say what is wrong: "[-]name failed: reason withheld".
func failedProbeChecks(body string) string {
	var failed []string
	for line := range strings.Lines(body) {
		if strings.HasPrefix(line, "[-]") {
			failed = append(failed, strings.TrimSpace(line))
		}
	}
	if len(failed) == 0 {
		return strings.TrimSpace(body)
	}
	return strings.Join(failed, ", ")
}
