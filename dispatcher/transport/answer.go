// SPDX-License-Identifier: Apache-2.0

package transport

import "time"

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

// appendAnswerExcerpt adds to an excerpt what of a piece has room.
func appendAnswerExcerpt(excerpt, piece []byte) []byte {
	return append(excerpt, piece[:min(len(piece), excerptBytes-len(excerpt))]...)
}
