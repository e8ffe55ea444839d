// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"html/template"
	"net/http"
	"time"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/internal/retry"
)

// maxShownPayload bounds the part of a payload on the page; the whole payload can be
// downloaded.
const maxShownPayload = 16 << 10

// deliveryView is the content of a delivery's page.
type deliveryView struct {
	*Delivery

	Webhook  *rest.Webhook // nil: deleted, or the caller may not see it
	State    string
	Why      *explanation // nil: there is nothing to explain
	Timeline template.HTML
	Rows     []attemptRow
	Policy   []scheduledAttempt
	Sent     *requestView // nil: nothing was sent yet
	Body     string       // the beginning of the payload
	BodyLeft int          // bytes that are not shown
	Pretty   string       // the same in readable lines; "": too long, or too deep
	MayRetry bool
	// NoRetry says why there is nothing to retry although the caller may.
	NoRetry string
	MayEdit bool
	Next    *time.Time
}

func (v *visit) showDelivery() error {
	delivery, err := v.d.backend.Delivery(v.ctx(), v.namespace, v.id())
	if err != nil {
		return err
	}
	view := deliveryView{Delivery: delivery, State: delivery.Status, Next: delivery.NextAttemptAt}
	policy := retry.DefaultPolicy() // of a webhook that is deleted, or not for the caller to see
	delays, timeout := policy.Delays, policy.Timeout
	suspended := false
	if webhook, err := v.api.GetWebhook(v.ctx(), delivery.WebhookID); err == nil {
		view.Webhook = &webhook.Webhook
		suspended = webhook.Suspended
		if settings, err := v.d.backend.Settings(v.ctx(), v.namespace, delivery.WebhookID); err == nil {
			delays, timeout = settings.Delays, settings.Timeout
		}
	}
	view.Policy = scheduledAttempts(delays, timeout)
	view.Rows = attemptRows(delivery, delays)
	view.Timeline = drawTimeline(delivery, view.Rows, delays, timeout)
	view.Why = explainDelivery(delivery, view.Webhook, v.basePath())
	view.Sent = describeRequest(delivery, view.Webhook)
	view.Body, view.BodyLeft = truncateText(delivery.Payload, maxShownPayload)
	if pretty := indentJSON([]byte(delivery.Payload)); view.BodyLeft == 0 && pretty != delivery.Payload {
		view.Pretty = pretty
	}
	if v.may("patch", "webhookdeliveries", "") {
		view.MayRetry, view.NoRetry = checkDeliveryRetriable(delivery, view.Webhook, suspended)
	}
	if view.Webhook != nil {
		view.MayEdit = v.may("patch", "webhooks", view.Webhook.Name)
	}
	return v.showPage("delivery", layout{
		Title: "Delivery of " + plainText(delivery.Event), Nav: "webhooks", Live: v.livePath(Topic{Delivery: v.id()}), Body: view,
	})
}

// checkDeliveryRetriable reports whether a retry would be accepted, and if not, why. The gateway
// decides; this spares people a button that only refuses.
func checkDeliveryRetriable(delivery *Delivery, webhook *rest.Webhook, suspended bool) (may bool, why string) {
	switch {
	case delivery.Status == rest.DeliverySucceeded:
		return false, ""
	case delivery.Test:
		return true, ""
	case webhook != nil && webhook.Status == rest.WebhookDisabled:
		return false, "Its webhook is disabled. Enable that first, then retry here."
	case suspended:
		return false, "Its webhook is suspended. Resume that first; what waits is sent then."
	}
	return true, ""
}

func (v *visit) retryDelivery() error {
	if _, err := v.api.RetryDelivery(v.ctx(), v.id()); err != nil {
		return err
	}
	return v.redirect("/deliveries/"+v.id(), "retried")
}

// downloadDeliveryPayload sends the exact payload as a download, never as a page.
func (v *visit) downloadDeliveryPayload() error {
	delivery, err := v.d.backend.Delivery(v.ctx(), v.namespace, v.id())
	if err != nil {
		return err
	}
	header := v.w.Header()
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Content-Disposition", `attachment; filename="`+delivery.DeliveryID+`.json"`)
	v.w.WriteHeader(http.StatusOK)
	_, _ = v.w.Write([]byte(delivery.Payload))
	return nil
}
