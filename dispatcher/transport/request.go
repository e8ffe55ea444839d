// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// Request is a POST.
type Request struct {
	// URL is where it goes, as package netguard has read it.
	URL *url.URL
	// Host is sent as Host or :authority.
	Host string
	// Header is sent in this order, names spelled as they are. Content-Length is
	// not among it.
	Header []Field
	// Body is not empty. It must not change until Post returns.
	Body []byte
	// Attempt is the number of the attempt, from 1. Later ones begin with another
	// address of the host, should it have several.
	Attempt int
	// Forbidden are addresses that must not be reached, beside those of the policy.
	Forbidden []netip.Prefix
}

// Field is one header.
type Field struct{ Name, Value string }

// httpHeader is the header as package net/http has it.
func (r *Request) httpHeader() http.Header {
	header := make(http.Header, len(r.Header))
	values := make([]string, 0, len(r.Header))
	for _, field := range r.Header {
		values = append(values, field.Value)
		header[field.Name] = values[len(values)-1 : len(values) : len(values)]
	}
	return header
}

// Answer is what the endpoint answered.
type Answer struct {
	// StatusCode is that of the final answer: 1xx ones are skipped, but for 101.
	StatusCode int
	// RetryAfter, Location and ContentEncoding are the headers of these names, the
	// first of each; empty if there is none.
	RetryAfter, Location, ContentEncoding string
	// Excerpt is the beginning of the body, at most 1 KiB of it; the body may have
	// ended in whatever way.
	Excerpt []byte
	// CertificateNotAfter is when the endpoint's certificate expires; zero without
	// TLS.
	CertificateNotAfter time.Time
}

const (
	// maxHeadBytes bounds the head of an answer, all 1xx answers before it included.
	maxHeadBytes = 64 << 10
	// excerptBytes is how much of a body is kept.
	excerptBytes = 1 << 10
	// maxDrainBytes is how much of a body is read so that its connection can be used
	// again. More than that costs more than a new connection.
	maxDrainBytes = 64 << 10
	// maxDrainTime is how long an attempt waits for the rest of an answer whose head
	// is there.
	maxDrainTime = 2 * time.Second
)

// appendExcerpt adds to an excerpt what of a piece has room.
func appendExcerpt(excerpt, piece []byte) []byte {
	return append(excerpt, piece[:min(len(piece), excerptBytes-len(excerpt))]...)
}
