// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"strings"

	"bbmcp.quietstack.com/webhooks/api/rest"
)

// Webhook is a webhook and the version of it that was read.
type Webhook struct {
	rest.Webhook

	// ETag names the version, for UpdateWebhook.
	ETag string `json:"-"`
}

const webhooksPath = "/v1/webhooks"

// CreateWebhook creates a webhook. Its answer is the only one beside that of
// RotateSecret with the Secret in it. It is never repeated by itself, since
// without a name every call makes another webhook.
func (c *Client) CreateWebhook(ctx context.Context, webhook rest.WebhookCreate) (*Webhook, error) {
	body, err := requestJSON(webhook)
	if err != nil {
		return nil, err
	}
	return c.webhook(ctx, call{method: http.MethodPost, path: webhooksPath, body: body})
}

// ListWebhooks returns one page of webhooks, by name.
func (c *Client) ListWebhooks(ctx context.Context, page Page) (*rest.WebhookList, error) {
	list := &rest.WebhookList{}
	_, err := c.doRequest(ctx, call{method: http.MethodGet, path: webhooksPath, query: page.query(), repeatable: true}, list)
	if err != nil {
		return nil, err
	}
	return list, nil
}

// Webhooks yields all webhooks by name, asking for page after page. It ends
// after the first error.
func (c *Client) Webhooks(ctx context.Context) iter.Seq2[rest.Webhook, error] {
	return pages(ctx, pageSize, func(ctx context.Context, page Page) ([]rest.Webhook, *string, error) {
		list, err := c.ListWebhooks(ctx, page)
		if err != nil {
			return nil, nil, err
		}
		return list.Data, list.NextCursor, nil
	})
}

// GetWebhook returns a webhook, without its secret.
func (c *Client) GetWebhook(ctx context.Context, id string) (*Webhook, error) {
	return c.webhookCall(ctx, call{method: http.MethodGet, repeatable: true}, id, "")
}

// UpdateWebhook changes the fields given and keeps the others. With an etag, as
// GetWebhook returned it, the answer is 412 if somebody changed the webhook
// since; without one it is changed whatever it is now.
func (c *Client) UpdateWebhook(ctx context.Context, id, etag string, change rest.WebhookUpdate) (*Webhook, error) {
	body, err := encodeWebhookChange(change)
	if err != nil {
		return nil, err
	}
	// A repetition with an etag would meet the version that the first try made.
	update := call{method: http.MethodPut, body: body, repeatable: etag == ""}
	if etag != "" {
		update.header = http.Header{"If-Match": {etag}}
	}
	return c.webhookCall(ctx, update, id, "")
}

// encodeWebhookChange writes a change with null for what gets its default back.
func encodeWebhookChange(change rest.WebhookUpdate) ([]byte, error) {
	body, err := requestJSON(change)
	if err != nil || len(change.Defaults) == 0 {
		return body, err
	}
	var members map[string]any
	if err := json.Unmarshal(body, &members); err != nil {
		return nil, fmt.Errorf("bbmcp: %w", err)
	}
	for _, name := range change.Defaults {
		object, last := members, name
		for outer, inner, nested := strings.Cut(last, "."); nested; outer, inner, nested = strings.Cut(last, ".") {
			next, ok := object[outer].(map[string]any)
			if !ok {
				next = map[string]any{}
				object[outer] = next
			}
			object, last = next, inner
		}
		if object[last] != nil {
			return nil, fmt.Errorf("bbmcp: %s is given a value and its default", name)
		}
		object[last] = nil
	}
	return requestJSON(members)
}

// DeleteWebhook deletes a webhook with its deliveries. It is never repeated by
// itself: the second time the webhook would not be found.
func (c *Client) DeleteWebhook(ctx context.Context, id string) error {
	escaped, err := requestSegment("webhook", id)
	if err != nil {
		return err
	}
	_, err = c.doRequest(ctx, call{method: http.MethodDelete, path: webhooksPath + "/" + escaped}, nil)
	return err
}

// EnableWebhook makes a webhook that was disabled active again.
func (c *Client) EnableWebhook(ctx context.Context, id string) (*Webhook, error) {
	return c.webhookCall(ctx, call{method: http.MethodPost, repeatable: true}, id, "/enable")
}

// SuspendWebhook holds a webhook's deliveries; new events are collected.
func (c *Client) SuspendWebhook(ctx context.Context, id string) (*Webhook, error) {
	return c.webhookCall(ctx, call{method: http.MethodPost, repeatable: true}, id, "/suspend")
}

// ResumeWebhook ends what SuspendWebhook began.
func (c *Client) ResumeWebhook(ctx context.Context, id string) (*Webhook, error) {
	return c.webhookCall(ctx, call{method: http.MethodPost, repeatable: true}, id, "/resume")
}

// RotateSecret replaces a webhook's signing secret; the answer carries the new
// one, once. Its repetitions carry the same Idempotency-Key, so they answer with
// the same secret and rotate once: a second rotation would drop the secret that
// receivers still have.
func (c *Client) RotateSecret(ctx context.Context, id string) (*Webhook, error) {
	return c.RotateSecretOnce(ctx, id, rand.Text())
}

// RotateSecretOnce is RotateSecret with a key of the caller's: every call with
// the same one answers with the same secret. 409 if another rotation followed.
func (c *Client) RotateSecretOnce(ctx context.Context, id, key string) (*Webhook, error) {
	header := http.Header{idempotencyKey: {key}}
	return c.webhookCall(ctx, call{method: http.MethodPost, header: header, repeatable: true}, id, "/rotate-secret")
}

// TestWebhook sends a test event to this webhook only, also when it is
// suspended or disabled. Without data the event type's example is sent.
func (c *Client) TestWebhook(ctx context.Context, id, event string, data json.RawMessage) (*rest.Delivery, error) {
	escaped, err := requestSegment("webhook", id)
	if err != nil {
		return nil, err
	}
	body, err := requestJSON(rest.WebhookTest{Event: event, Data: data})
	if err != nil {
		return nil, err
	}
	delivery := &rest.Delivery{}
	if _, err := c.doRequest(ctx, call{method: http.MethodPost, path: webhooksPath + "/" + escaped + "/test", body: body}, delivery); err != nil {
		return nil, err
	}
	return delivery, nil
}

// webhookCall makes a call about one webhook that answers with it.
func (c *Client) webhookCall(ctx context.Context, call call, id, action string) (*Webhook, error) {
	escaped, err := requestSegment("webhook", id)
	if err != nil {
		return nil, err
	}
	call.path = webhooksPath + "/" + escaped + action
	return c.webhook(ctx, call)
}

func (c *Client) webhook(ctx context.Context, call call) (*Webhook, error) {
	webhook := &Webhook{}
	header, err := c.doRequest(ctx, call, &webhook.Webhook)
	if err != nil {
		return nil, err
	}
	webhook.ETag = header.Get("ETag")
	return webhook, nil
}
