// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"net/http"
	"time"
)

// maxConcurrency bounds --concurrency, and with it open connections.
const maxConcurrency = 64

// newHTTPClient keeps a connection for every publisher; two a host is the
// default.
func newHTTPClient(timeout time.Duration) *http.Client {
	transport, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return &http.Client{Timeout: timeout}
	}
	transport = transport.Clone()
	transport.MaxIdleConnsPerHost = maxConcurrency
	return &http.Client{Timeout: timeout, Transport: transport}
}
