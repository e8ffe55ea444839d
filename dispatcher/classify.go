// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher/netguard"
)

// failure is what is told of an attempt that failed. Messages are constants, so
// that the same failure always reads the same.
type failure struct {
	reason  Reason
	message string
}

// classify names an error of the transport, given how far the attempt had come.
func classify(err error, at seen) failure {
	if refusal, ok := errors.AsType[*netguard.Refusal](err); ok {
		return refused(refusal)
	}
	if isTimeout(err) {
		return timedOut(at.stage)
	}
	if f, ok := lookupFailure(err); ok {
		return f
	}
	if f, ok := tlsFailure(err); ok {
		return f
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return failure{ReasonConnectionRefused, "connection refused: nothing listens on the endpoint's port"}
	case at.stage <= stageConnect:
		return connectFailure(err)
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return reset(at.stage)
	case at.stage == stageTLS:
		return failure{ReasonTLSFailed, "TLS handshake failed"}
	case errors.Is(err, errRepeat):
		return failure{ReasonConnectionReset, "the endpoint turned the request away on an HTTP/2 connection; it is not sent twice in one attempt"}
	}
	if _, ok := errors.AsType[*net.OpError](err); ok || at.http2 {
		return reset(at.stage)
	}
	if at.stage == stageRequest {
		return reset(at.stage) // the connection broke, and the transport's error has no type
	}
	return failure{ReasonResponseInvalid, "the endpoint's answer is not valid HTTP, or its headers are too large"}
}

// refused turns a refusal of the guard into what users are told.
func refused(refusal *netguard.Refusal) failure {
	reason := ReasonURLInvalid
	switch {
	case refusal.AboutAddress():
		reason = ReasonAddressForbidden
	case refusal.Reason == netguard.Scheme:
		reason = ReasonSchemeForbidden
	}
	return failure{reason, refusal.Error()}
}

// invalidRequest is for errors of this package and of package signature, which
// never show a secret.
func invalidRequest(err error) failure {
	return failure{ReasonRequestInvalid, "nothing was sent: " + err.Error()}
}

func isTimeout(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, syscall.ETIMEDOUT) {
		return true
	}
	// A name server that does not answer in its own time is not our timeout.
	if _, ok := errors.AsType[*net.DNSError](err); ok {
		return false
	}
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout()
}

func timedOut(at stage) failure {
	during := "before anything was sent"
	switch at {
	case stageLookup:
		during = "while looking up the host name"
	case stageConnect:
		during = "while connecting"
	case stageTLS:
		during = "during the TLS handshake"
	case stageRequest:
		during = "while sending the request"
	case stageAnswer:
		during = "while waiting for the answer"
	case stageBody:
		during = "while reading the answer"
	}
	return failure{ReasonTimeout, "timed out " + during}
}

func lookupFailure(err error) (failure, bool) {
	dns, ok := errors.AsType[*net.DNSError](err)
	switch {
	case !ok:
		return failure{}, false
	case dns.IsNotFound:
		return failure{ReasonNameNotResolved, "the host name does not exist or has no address"}, true
	default:
		return failure{ReasonNameNotResolved, "the name servers did not resolve the host name"}, true
	}
}

func tlsFailure(err error) (failure, bool) {
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return failure{ReasonCertificateInvalid, "the endpoint's certificate is for another name"}, true
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		return failure{ReasonCertificateInvalid, "the endpoint's certificate has expired or is not yet valid"}, true
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return failure{ReasonCertificateInvalid, "the endpoint's certificate is signed by an unknown authority (--ca-bundle adds authorities)"}, true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return failure{ReasonCertificateInvalid, "the endpoint's certificate is not valid"}, true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || errors.Is(err, http.ErrSchemeMismatch) {
		return failure{ReasonTLSFailed, "the endpoint does not speak TLS on this port"}, true
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "remote error" || op.Op == "local error") { // a TLS alert
		return failure{ReasonTLSFailed, "TLS handshake refused: no common version, cipher or name, or a client certificate is required"}, true
	}
	return failure{}, false
}

func connectFailure(err error) failure {
	switch {
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return failure{ReasonConnectionFailed, "no route to the endpoint"}
	case errors.Is(err, syscall.ECONNRESET):
		return failure{ReasonConnectionReset, "the endpoint reset the connection at once"}
	default:
		return failure{ReasonConnectionFailed, "no connection to the endpoint"}
	}
}

func reset(at stage) failure {
	during := "before its answer was complete"
	switch at {
	case stageTLS:
		during = "during the TLS handshake"
	case stageRequest, stageAnswer:
		during = "before it answered"
	}
	return failure{ReasonConnectionReset, "the endpoint closed the connection " + during}
}

// judge names what an answer's status means. Retry-After counts with 429 and
// 503 only.
func judge(status int, retryAfter time.Time) failure {
	switch {
	case status >= 200 && status <= 299:
		return failure{}
	case status == http.StatusGone:
		return failure{ReasonGone, "the endpoint answered 410 Gone: it wants no more deliveries"}
	case status >= 300 && status <= 399:
		return failure{ReasonRedirected, answered(status) + "; redirects are not followed"}
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable && !retryAfter.IsZero():
		return failure{ReasonThrottled, answered(status)}
	default:
		return failure{ReasonHTTPStatus, answered(status)}
	}
}

// answered leaves out the endpoint's own phrase: it can be anything.
func answered(status int) string {
	message := "the endpoint answered " + strconv.Itoa(status)
	if text := http.StatusText(status); text != "" {
		message += " " + text
	}
	return message
}
