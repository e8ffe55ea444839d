// SPDX-License-Identifier: Apache-2.0

package dispatcher

// URLError says why a URL cannot be the endpoint of a webhook.
type URLError struct {
	// Reason is ReasonAddressForbidden, ReasonSchemeForbidden or ReasonURLInvalid.
	Reason Reason
	// Message names what is wrong and the way out; it does not repeat the URL.
	Message string
}

// Error implements error.
func (e *URLError) Error() string { return e.Message }
