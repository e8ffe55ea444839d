// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"net/url"
	"strconv"
	"strings"

	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
	"bbmcp.quietstack.com/webhooks/dispatcher/transport"
)

// Names of the headers that are sent beside those of package signature.
const (
	HeaderEvent    = "X-BBMCP-Event"
	HeaderDelivery = "X-BBMCP-Delivery"
	HeaderAttempt  = "X-BBMCP-Attempt"
	HeaderTest     = "X-BBMCP-Test"
)

// postAuthority is what is sent as Host or :authority: without the port of the
// scheme, and without the colon of an empty one. Frameworks compare the whole with
// the names they serve, and some sign it.
func postAuthority(to *url.URL) string {
	port := strings.TrimLeft(to.Port(), "0")
	if port == "" || to.Scheme == "https" && port == "443" || to.Scheme == "http" && port == "80" {
		return strings.TrimSuffix(strings.TrimSuffix(to.Host, to.Port()), ":")
	}
	return to.Host
}

// newPost makes the POST of an attempt. Header names are spelled as in the contract,
// since some receivers compare them so.
func newPost(r *Request, to *url.URL, signed signature.Headers, userAgent string) *transport.Request {
	header := make([]transport.Field, 0, 13)
	set := func(name, value string) { header = append(header, transport.Field{Name: name, Value: value}) }
	set("User-Agent", userAgent)
	set("Content-Type", "application/json")
	set("Accept", "*/*") // some firewalls refuse requests without it
	set(HeaderEvent, r.EventType)
	set(HeaderDelivery, r.DeliveryID)
	set(HeaderAttempt, strconv.Itoa(r.Attempt))
	set(signature.HeaderSignature, signed.Signature)
	set(signature.HeaderWebhookID, r.EventID)
	set(signature.HeaderWebhookTimestamp, signed.WebhookTimestamp)
	set(signature.HeaderWebhookSignature, signed.WebhookSignature)
	if signed.SignatureNext != "" {
		set(signature.HeaderSignatureNext, signed.SignatureNext)
	}
	if r.Test {
		set(HeaderTest, "true")
	}
	if r.TraceParent != "" {
		set("traceparent", r.TraceParent)
	}
	return &transport.Request{
		URL: to, Host: postAuthority(to), Header: header, Body: r.Payload, Attempt: r.Attempt, Forbidden: r.Forbidden,
	}
}
