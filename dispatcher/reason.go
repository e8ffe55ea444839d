// SPDX-License-Identifier: Apache-2.0

package dispatcher

// Reason says why an attempt failed. The set is closed and part of the API:
// reasons appear in attempt logs, metrics and conditions and are never renamed.
type Reason string

const (
	// ReasonNone is the reason of an attempt that succeeded.
	ReasonNone Reason = ""

	// ReasonHTTPStatus: the endpoint answered with a status that is neither 2xx
	// nor one of those below.
	ReasonHTTPStatus Reason = "HTTPStatus"
	// ReasonGone: 410, the endpoint wants no more deliveries.
	ReasonGone Reason = "Gone"
	// ReasonRedirected: 3xx; redirects are never followed.
	ReasonRedirected Reason = "Redirected"
	// ReasonThrottled: 429, or 503 with a Retry-After header.
	ReasonThrottled Reason = "Throttled"

	// ReasonTimeout: the attempt did not end within its timeout.
	ReasonTimeout Reason = "Timeout"
	// ReasonNameNotResolved: the host name has no address, or its name servers
	// did not say.
	ReasonNameNotResolved Reason = "NameNotResolved"
	// ReasonConnectionRefused: nothing listens on the endpoint's port.
	ReasonConnectionRefused Reason = "ConnectionRefused"
	// ReasonConnectionReset: the endpoint closed the connection before its
	// answer was complete. It may have taken the delivery.
	ReasonConnectionReset Reason = "ConnectionReset"
	// ReasonConnectionFailed: no connection for another cause, as a missing
	// route.
	ReasonConnectionFailed Reason = "ConnectionFailed"
	// ReasonTLSFailed: the endpoint does not speak TLS 1.2 or later as we do.
	ReasonTLSFailed Reason = "TLSFailed"
	// ReasonCertificateInvalid: the certificate has expired, is for another
	// name, or is not signed by an authority we know.
	ReasonCertificateInvalid Reason = "CertificateInvalid"
	// ReasonResponseInvalid: what came back is not HTTP, or exceeds the limits
	// on headers and body.
	ReasonResponseInvalid Reason = "ResponseInvalid"

	// ReasonAddressForbidden: the host is or resolves to an address that must
	// not be reached. Nothing was sent.
	ReasonAddressForbidden Reason = "AddressForbidden"
	// ReasonSchemeForbidden: the URL is not https and http is not allowed.
	// Nothing was sent.
	ReasonSchemeForbidden Reason = "SchemeForbidden"
	// ReasonURLInvalid: the URL cannot be used as an endpoint. Nothing was sent.
	ReasonURLInvalid Reason = "URLInvalid"
	// ReasonRequestInvalid: the request breaks a rule of this package, such as
	// a secret that cannot sign. Nothing was sent.
	ReasonRequestInvalid Reason = "RequestInvalid"

	// ReasonDispatcherLost: the dispatcher ended while it held the attempt, again
	// and again. The dispatcher never says so itself; the attempt runner does.
	ReasonDispatcherLost Reason = "DispatcherLost"
)

// Reasons are all reasons an attempt can fail for, in the order of this file.
func Reasons() []Reason {
	return []Reason{
		ReasonHTTPStatus, ReasonGone, ReasonRedirected, ReasonThrottled,
		ReasonTimeout, ReasonNameNotResolved, ReasonConnectionRefused, ReasonConnectionReset,
		ReasonConnectionFailed, ReasonTLSFailed, ReasonCertificateInvalid, ReasonResponseInvalid,
		ReasonAddressForbidden, ReasonSchemeForbidden, ReasonURLInvalid, ReasonRequestInvalid,
		ReasonDispatcherLost,
	}
}
