// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"fmt"
	"net/http"
	"strings"

	"bbmcp.quietstack.com/webhooks/api/rest"
)

// explanation says why a delivery is in its state, and what to do.
type explanation struct {
	Title  string
	Detail string // as the component reported it that saw it
	Advice string
	// Link leads to where it can be done; "": it cannot be done here.
	Link, LinkText string
	Good           bool // nothing is wrong
}

// explainDelivery explains what prevents a delivery; nil: nothing does.
func explainDelivery(delivery *Delivery, webhook *rest.Webhook, base string) *explanation {
	webhookPath := base + "/webhooks/" + delivery.WebhookID
	if hold := explainDeliveryHold(delivery, webhookPath); hold != nil {
		return hold
	}
	if delivery.Status == rest.DeliverySucceeded || len(delivery.AttemptLog) == 0 {
		return nil
	}
	latest := delivery.AttemptLog[len(delivery.AttemptLog)-1]
	if latest.Reason == nil {
		return nil
	}
	e := &explanation{Detail: textFrom(latest.Message), Link: webhookPath + "/edit", LinkText: "Change the URL"}
	if e.Detail == "" {
		e.Detail = textFrom(delivery.ErrorMessage)
	}
	e.Title, e.Advice = explainReason(*latest.Reason, latest.ResponseStatus)
	if strings.EqualFold(e.Detail, e.Title) {
		e.Detail = ""
	}
	if webhook == nil {
		e.Link = ""
	}
	switch {
	case delivery.Status == rest.DeliveryRetrying && delivery.NextAttemptAt != nil:
		e.Advice += " It is tried again by itself."
	case delivery.Status == rest.DeliveryFailed:
		e.Advice += " Then retry here."
	}
	return e
}

// explainDeliveryHold explains deliveries that are held, and those that failed for a reason other
// than their attempts.
func explainDeliveryHold(delivery *Delivery, webhookPath string) *explanation {
	e := &explanation{Detail: toSentence(delivery.Message), Link: webhookPath, LinkText: "Go to the webhook"}
	switch delivery.Reason {
	case "WebhookSuspended":
		e.Title, e.Advice = "Held: the webhook is suspended", "Resume the webhook; this is sent then."
	case "WebhookDisabled":
		e.Title, e.Advice = "Held: the webhook is disabled", "Find out why its endpoint failed, then enable the webhook."
	case "SigningSecretUnavailable":
		e.Title, e.Advice = "Held: there is no secret to sign with", "Nothing is sent unsigned, and no attempt is used up. Look at the webhook's conditions."
	case "WebhookNotFound":
		e.Title, e.Advice, e.Link = "The webhook does not exist", "Create it under the same name, or delete this delivery.", ""
	case "WebhookReplaced":
		e.Title, e.Advice, e.Link = "The webhook was deleted and made anew", "This delivery was made for the old one. Publish the event again for the new one.", ""
	case "DeadlineExceeded":
		e.Title, e.Advice = "It was not delivered in time", "Its webhook gives up on deliveries of this age. Retry it here once the endpoint works."
	case "PayloadInvalid", "EventTypeMismatch":
		e.Title, e.Advice, e.Link = "Its payload is not valid, so it was never sent", "Make it anew, by publishing the event.", ""
	default:
		return nil
	}
	return e
}

// explainReason explains why an attempt failed, and who can do what.
func explainReason(reason string, status *int) (title, advice string) {
	switch reason {
	case "HTTPStatus":
		return explainStatus(status)
	case "Gone":
		return "The endpoint wants no more deliveries", "It answered 410, which disables the webhook. If that was a mistake, mend the endpoint or the URL, and enable the webhook."
	case "Redirected":
		return "The endpoint has moved", "Redirects are never followed. Put the address that it redirects to into the webhook's URL."
	case "Throttled":
		return "The endpoint has too much to do", "It asked to be left alone for a while; that is heeded."
	case "Timeout":
		return "The endpoint took too long", "It should answer first and work later. If the address is right, look at what keeps it busy."
	case "NameNotResolved":
		return "The host name in the URL was not found", "Look for a typing error in the URL, or at the name's DNS entry."
	case "ConnectionRefused":
		return "Nothing listens at this address", "Look at whether the receiver runs, and at the port in the URL."
	case "ConnectionReset":
		return "The endpoint hung up", "It closed the connection before it answered. Look at its log, and at what stands before it."
	case "ConnectionFailed":
		return "The endpoint was out of reach", "Look at the address in the URL, and at firewalls between here and there. In a private network whoever runs this service sees the cause in the log."
	case "TLSFailed":
		return "No encrypted connection could be made", "The endpoint must speak TLS 1.2 or later on this port. Look at the port, and at https against http in the URL."
	case "CertificateInvalid":
		return "The endpoint's certificate is not valid", "Renew it, or use in the URL the name that it is for. Whoever runs this service can add private authorities."
	case "ResponseInvalid":
		return "What came back is no HTTP", "Something else may listen on this port. Look at the port in the URL."
	case "AddressForbidden":
		return "This address may not be reached from here", "Private and internal addresses are refused, and whether an internal name exists is not told. Use a public one, or look for a typing error and ask whoever runs this service to allow it."
	case "SchemeForbidden":
		return "The URL is not https", "Use an https URL, or ask whoever runs this service to allow http."
	case "URLInvalid":
		return "The URL cannot be used", "Correct it in the webhook."
	case "DispatcherLost":
		return "The sender was interrupted", "This is no fault of the endpoint. If it happens often, tell whoever runs this service."
	}
	return "The attempt failed: " + plainText(reason), "Look at what the endpoint says."
}

// explainStatus explains HTTP statuses that are neither 2xx nor have a reason of their
// own.
func explainStatus(status *int) (title, advice string) {
	if status == nil {
		return "The endpoint answered with a failure", "Look at the endpoint's log."
	}
	title = fmt.Sprintf("The endpoint answered %d %s", *status, http.StatusText(*status))
	switch {
	case *status == http.StatusUnauthorized || *status == http.StatusForbidden:
		advice = "It most likely does not accept the signature. Compare its secret with this webhook's, and see “Verify this signature” below."
	case *status == http.StatusNotFound || *status == http.StatusMethodNotAllowed:
		advice = "The host answers, but does not know this path. Look for a mistake in the URL."
	case *status == http.StatusRequestEntityTooLarge:
		advice = "It does not take bodies of this size. Raise its limit; events have up to 256 KiB."
	case *status == http.StatusBadRequest || *status == http.StatusUnprocessableEntity || *status == http.StatusUnsupportedMediaType:
		advice = "It did not understand the event. Its answer, below, may say why."
	case *status >= http.StatusInternalServerError:
		advice = "It has a fault of its own. Look at its log at the time of the attempt, for the webhook-id below."
	default:
		advice = "Only 2xx counts as delivered. Its answer, below, may say why."
	}
	return title, advice
}
