// SPDX-License-Identifier: Apache-2.0

package app

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// TestMetricsAreServedWithTheCertificateThatWasGiven: what verifies it may trust the
// Pod that answers.
func TestMetricsAreServedWithTheCertificateThatWasGiven(t *testing.T) {
	authority, err := receiver.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	issued, err := authority.Issue(time.Now().Add(time.Hour), "127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	o := metricsOptions{address: "127.0.0.1:0", secure: true}
	o.certificate, o.key = writePair(t, issued)
	server, listener, err := o.listen(t.Context(), &callerAccess{}, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(authority.PEM())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}
	response, err := client.Get("https://" + listener.Addr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		t.Errorf("without a token: %d", response.StatusCode)
	}
}

func TestTheCertificateOfMetricsIsWhole(t *testing.T) {
	for _, o := range []metricsOptions{
		{certificate: "only"}, {key: "only"}, {certificate: "missing", key: "missing"},
	} {
		o.address, o.secure = "127.0.0.1:0", true
		if _, _, err := o.listen(t.Context(), &callerAccess{}, nil, nil); err == nil || !strings.Contains(err.Error(), "--metrics-cert-file") {
			t.Errorf("%+v: %v", o, err)
		}
	}
}

// writePair writes a certificate and its key as files.
func writePair(t *testing.T, pair *tls.Certificate) (certificate, key string) {
	t.Helper()
	private, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	certificate, key = filepath.Join(folder, "tls.crt"), filepath.Join(folder, "tls.key")
	for name, content := range map[string][]byte{certificate: encode("CERTIFICATE", pair.Certificate...), key: encode("PRIVATE KEY", private)} {
		if err := os.WriteFile(name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key
}

func encode(kind string, blocks ...[]byte) (text []byte) {
	for _, block := range blocks {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: block})...)
	}
	return text
}
