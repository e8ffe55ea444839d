// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"bytes"
	"io"
	"net/http"

	"bbmcp.quietstack.com/webhooks/client"
)

// inProcessTransport serves the requests of a client from a handler: the same
// authentication, rights, limits, log and errors as over the network.
type inProcessTransport struct {
	handler   http.Handler
	requestID string // of the page, so that the log shows what belongs together
	remote    string
}

// RoundTrip implements http.RoundTripper.
func (t inProcessTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	request.RequestURI, request.RemoteAddr = request.URL.RequestURI(), t.remote
	request.Header.Set("X-Request-Id", t.requestID)
	if request.Body == nil {
		request.Body = http.NoBody
	}
	defer request.Body.Close()
	w := &inProcessResponse{header: http.Header{}, status: http.StatusOK}
	t.handler.ServeHTTP(w, request)
	return &http.Response{
		Status: http.StatusText(w.status), StatusCode: w.status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: w.header, Body: io.NopCloser(&w.body), ContentLength: int64(w.body.Len()), Request: request,
	}, nil
}

// inProcessResponse is a http.ResponseWriter that keeps the response in memory.
type inProcessResponse struct {
	header     http.Header
	status     int
	hasWritten bool
	body       bytes.Buffer
}

// Header implements http.ResponseWriter.
func (w *inProcessResponse) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *inProcessResponse) WriteHeader(status int) {
	if !w.hasWritten {
		w.status, w.hasWritten = status, true
	}
}

// Write implements http.ResponseWriter.
func (w *inProcessResponse) Write(p []byte) (int, error) {
	w.hasWritten = true
	return w.body.Write(p)
}

// inProcessClient makes a client of the REST API for the caller. It does not repeat requests:
// the person who waits for the page can decide that better.
func (d *Dashboard) inProcessClient(s *session) (*client.Client, error) {
	return client.New(client.Options{
		BaseURL: "http://rest.invalid", Token: client.StaticToken(s.token), Namespace: s.namespace, Repeats: -1,
		UserAgent:  "bbmcp-dashboard",
		HTTPClient: &http.Client{Transport: inProcessTransport{handler: d.api, requestID: s.requestID, remote: s.remote}},
	})
}
