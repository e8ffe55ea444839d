// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"syscall"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher/netguard"
	"bbmcp.quietstack.com/webhooks/dispatcher/transport"
	"bbmcp.quietstack.com/webhooks/internal/text"
)

// failure is what is told of an attempt that failed. Messages are constants, so
// that the same failure always reads the same.
type failure struct {
	reason  Reason
	message string
}

// classifyFailure names an error of the transport, given how far the attempt had come.
func classifyFailure(err error, at transport.Snapshot) failure {
	if refusal, ok := errors.AsType[*netguard.Refusal](err); ok {
		return refusalFailure(refusal)
	}
	if isTimeoutFailure(err) {
		return timeoutFailure(at)
	}
	if f, ok := lookupFailure(err); ok {
		return f
	}
	if f, ok := tlsFailure(err); ok {
		return f
	}
	switch {
	case errors.Is(err, transport.ErrLargeHandshake):
		return failure{ReasonTLSFailed, "the endpoint's part of the TLS handshake is larger than 64 KiB: its server sends too many certificates"}
	case errors.Is(err, syscall.ECONNREFUSED):
		return failure{ReasonConnectionRefused, "connection refused: nothing listens on the endpoint's port"}
	case at.Stage <= transport.StageConnect:
		return connectFailure(err)
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return resetFailure(at)
	case at.Stage == transport.StageTLS:
		return failure{ReasonTLSFailed, "TLS handshake failed"}
	case errors.Is(err, transport.ErrRefused):
		return failure{ReasonConnectionReset, "the endpoint turned the request away unprocessed, twice"}
	}
	if _, ok := errors.AsType[*net.OpError](err); ok || at.HTTP2 {
		return resetFailure(at)
	}
	if at.Stage == transport.StageRequest {
		return resetFailure(at) // the connection broke, and the transport's error has no type
	}
	return failure{ReasonResponseInvalid, "the endpoint's answer is not valid HTTP, or its headers are too large"}
}

// refusalFailure turns a refusal of the guard into what users are told.
func refusalFailure(refusal *netguard.Refusal) failure {
	reason := ReasonURLInvalid
	switch {
	case refusal.AboutAddress():
		reason = ReasonAddressForbidden
	case refusal.Reason == netguard.Scheme:
		reason = ReasonSchemeForbidden
	}
	return failure{reason, refusal.Error()}
}

// requestFailure is for errors of this package and of package signature, which
// never show a secret.
func requestFailure(err error) failure {
	return failure{ReasonRequestInvalid, "nothing was sent: " + err.Error()}
}

func isTimeoutFailure(err error) bool {
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

func timeoutFailure(at transport.Snapshot) failure {
	during := "before anything was sent"
	switch at.Stage {
	case transport.StageLookup:
		during = "while looking up the host name"
	case transport.StageConnect:
		during = "while connecting"
	case transport.StageTLS:
		during = "during the TLS handshake" + tlsFailureHint(at)
	case transport.StageRequest:
		during = "while sending the request"
	case transport.StageAnswer:
		during = "while waiting for the answer"
	}
	return failure{ReasonTimeout, "timed out " + during}
}

// tlsFailureHint names the likely cause if nothing came in answer to the first message of
// TLS, whose share of a post-quantum key makes it larger than a packet.
func tlsFailureHint(at transport.Snapshot) string {
	if !at.Unanswered {
		return ""
	}
	return ", before anything came back; some firewalls drop a first message as large as ours (GODEBUG=tlsmlkem=0 makes it smaller)"
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
		return failure{ReasonCertificateInvalid, unknownAuthorityMessage(err)}, true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return failure{ReasonCertificateInvalid, "the endpoint's certificate is not valid"}, true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok || errors.Is(err, http.ErrSchemeMismatch) {
		return failure{ReasonTLSFailed, "the endpoint does not speak TLS on this port"}, true
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && (op.Op == "remote error" || op.Op == "local error") {
		return failure{ReasonTLSFailed, tlsAlertMessage(op)}, true
	}
	return failure{}, false
}

// unknownAuthorityMessage tells certificates that were signed by an authority that is not
// known from what an endpoint has forgotten to send.
func unknownAuthorityMessage(err error) string {
	if invalid, ok := errors.AsType[*tls.CertificateVerificationError](err); ok && len(invalid.UnverifiedCertificates) == 1 {
		if leaf := invalid.UnverifiedCertificates[0]; bytes.Equal(leaf.RawIssuer, leaf.RawSubject) {
			return "the endpoint's certificate is signed by itself, not by a known authority (--ca-bundle adds it)"
		}
		return "the endpoint's certificate is signed by an unknown authority: " +
			"its server leaves out an intermediate certificate, or --ca-bundle has to add the authority"
	}
	return "the endpoint's certificate is signed by an unknown authority (--ca-bundle adds authorities)"
}

// Alerts of TLS (RFC 8446, section 6) whose cause can be named.
const (
	alertHandshakeFailure     tls.AlertError = 40
	alertBadCertificate       tls.AlertError = 42
	alertProtocolVersion      tls.AlertError = 70
	alertInsufficientSecurity tls.AlertError = 71
	alertUnrecognizedName     tls.AlertError = 112
	alertCertificateRequired  tls.AlertError = 116
)

// tlsAlertMessage names the likely cause of an alert. Package crypto/tls shows its number in
// its text only, which is the same in both of its types.
func tlsAlertMessage(op *net.OpError) string {
	isAlert := func(alerts ...tls.AlertError) bool {
		return op.Op == "remote error" && slices.ContainsFunc(alerts, func(a tls.AlertError) bool { return a.Error() == op.Err.Error() })
	}
	switch {
	case isAlert(alertHandshakeFailure, alertInsufficientSecurity):
		return "the endpoint refused the TLS handshake: it has no cipher in common with us, as where it only knows the key exchange of RSA " +
			"(GODEBUG=tlsrsakex=1 allows that), or requires a client certificate"
	case isAlert(alertProtocolVersion):
		return "the endpoint refused the TLS handshake: it does not speak TLS 1.2 or later"
	case isAlert(alertUnrecognizedName):
		return "the endpoint refused the TLS handshake: it serves no host of this name"
	case isAlert(alertBadCertificate, alertCertificateRequired):
		return "the endpoint requires a client certificate"
	}
	return "TLS handshake refused: no common version, cipher or name, or a client certificate is required"
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

func resetFailure(at transport.Snapshot) failure {
	during := "before the request was complete"
	switch at.Stage {
	case transport.StageTLS:
		during = "during the TLS handshake" + tlsFailureHint(at)
	case transport.StageRequest, transport.StageAnswer:
		during = "before it answered"
	}
	return failure{ReasonConnectionReset, "the endpoint closed the connection " + during}
}

// statusFailure names what an answer's status means. Retry-After counts with 429 and
// 503 only, Location with 3xx.
func statusFailure(status int, retryAfter time.Time, location string) failure {
	switch {
	case status >= 200 && status <= 299:
		return failure{}
	case status == http.StatusGone:
		return failure{ReasonGone, "the endpoint answered 410 Gone: it wants no more deliveries"}
	case status >= 300 && status <= 399:
		return failure{ReasonRedirected, statusFailureMessage(status) + redirectFailureTarget(location) + "; redirects are not followed"}
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable && !retryAfter.IsZero():
		return failure{ReasonThrottled, statusFailureMessage(status)}
	default:
		return failure{ReasonHTTPStatus, statusFailureMessage(status)}
	}
}

// statusFailureMessage leaves out the endpoint's own phrase: it can be anything.
func statusFailureMessage(status int) string {
	message := "the endpoint answered " + strconv.Itoa(status)
	if text := http.StatusText(status); text != "" {
		message += " " + text
	}
	return message
}

// maxLocationBytes bounds what is shown of where a redirect leads.
const maxLocationBytes = 120

// redirectFailureTarget names where a redirect leads, so that a person can write that URL
// into the webhook: scheme, host and path. A query may hold what is secret.
func redirectFailureTarget(location string) string {
	to, err := url.Parse(location)
	if err != nil || location == "" {
		return ""
	}
	shown := url.URL{Scheme: to.Scheme, Host: to.Host, Path: to.Path, RawPath: to.RawPath}
	short := text.Truncate(printableSnippet([]byte(shown.String())), maxLocationBytes)
	if short == "" {
		return ""
	}
	return " to " + short
}

// failureCause prefers the attempt's own timeout to what the transport made of it.
func failureCause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return err
}

// failedCertificateExpiry returns when a certificate that did not pass expires.
func failedCertificateExpiry(err error) time.Time {
	invalid, ok := errors.AsType[*tls.CertificateVerificationError](err)
	if !ok || len(invalid.UnverifiedCertificates) == 0 {
		return time.Time{}
	}
	return invalid.UnverifiedCertificates[0].NotAfter
}
