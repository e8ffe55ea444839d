// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"bbmcp.quietstack.com/webhooks/gateway/auth"
	"bbmcp.quietstack.com/webhooks/internal/httpserver"
	"bbmcp.quietstack.com/webhooks/internal/payload"
)

// bodyStep is the amount of quota that a body of unknown length reserves at a time.
const bodyStep = 64 << 10

// requestBody is the body of a request. Its bytes count against the quota from the first
// one until the request ends, whether a handler, the OpenAPI library or a form of the
// dashboard reads them. Its errors are problems.
type requestBody struct {
	io.ReadCloser

	quota   *bodyQuota
	metrics *Metrics
	length  int64 // -1: unknown
	limit   int64 // the most that may be read

	owner bodyOwner
	taken int64
	read  int64
	ended error
}

// newRequestBody wraps the body of a request; nil: it has none.
func (l *requestLogger) newRequestBody(request *http.Request) *requestBody {
	if request.ContentLength == 0 || request.Body == nil {
		return nil
	}
	return &requestBody{ReadCloser: request.Body, quota: l.bodies, metrics: l.metrics, length: request.ContentLength, limit: maxEventBytes}
}

// setOwner attributes the body to a caller. Bytes that were read before are attributed to
// none.
func (b *requestBody) setOwner(caller *auth.Caller) {
	if b != nil && b.taken == 0 {
		b.owner = bodyOwnerOf(caller)
	}
}

// Read implements io.Reader.
func (b *requestBody) Read(p []byte) (int, error) {
	if b.ended == nil {
		p, b.ended = b.reserveRoom(p)
	}
	if b.ended != nil {
		return 0, b.ended
	}
	n, err := b.ReadCloser.Read(p)
	b.read += int64(n)
	switch {
	case b.read > b.limit:
		b.ended = b.tooLarge()
	case err == nil || errors.Is(err, io.EOF):
		b.ended = err
	case errors.Is(err, os.ErrDeadlineExceeded):
		b.ended = newProblem(http.StatusRequestTimeout, reasonBodyTimeout, fmt.Sprintf("the body did not arrive whole within %s", httpserver.BodyTimeout))
	default:
		b.ended = newProblem(http.StatusBadRequest, reasonBodyInvalid, "the body did not arrive whole")
	}
	return n, b.ended
}

// discard reads the body to its end without keeping it.
func (b *requestBody) discard() {
	if b != nil {
		_, _ = io.Copy(io.Discard, b.ReadCloser) // an incomplete body does no harm
	}
}

// reserveRoom reserves quota for the next read, and cuts p to it.
func (b *requestBody) reserveRoom(p []byte) ([]byte, error) {
	switch {
	case b.length > b.limit:
		return nil, b.tooLarge()
	case b.length >= 0 && b.taken == 0:
		return p, b.reserve(b.length, b.length)
	case b.length >= 0:
		return p, nil
	case b.read == b.taken:
		if err := b.reserve(bodyStep, b.taken+bodyStep); err != nil {
			return nil, err
		}
	}
	return p[:min(int64(len(p)), b.taken-b.read)], nil
}

func (b *requestBody) reserve(bytes, whole int64) error {
	if bound := b.quota.reserve(b.owner, bytes, whole); bound != "" {
		b.metrics.bodyRefused(bound)
		return bodyQuotaProblem(bound, b.owner)
	}
	b.taken += bytes
	b.metrics.bodyBytes(bytes)
	return nil
}

func (b *requestBody) tooLarge() error {
	return newFieldProblem(http.StatusRequestEntityTooLarge, string(payload.TooLarge), wholeBody,
		fmt.Sprintf("more than %d bytes; send a reference to the content instead of the content", b.limit))
}

// release returns the body's quota. A caller whose requests are all refused, or arrive
// incomplete, gets a smaller quota from then on.
func (b *requestBody) release(status int, granted bool) {
	if b == nil {
		return
	}
	b.quota.release(b.owner, b.taken)
	b.metrics.bodyBytes(-b.taken)
	switch status {
	case http.StatusForbidden, http.StatusRequestTimeout, http.StatusMultiStatus:
		b.quota.noteAnswer(b.owner, granted)
	default:
		if granted {
			b.quota.noteAnswer(b.owner, true)
		}
	}
}
