// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"iter"
	"net/http"

	"bbmcp.quietstack.com/webhooks/api/rest"
)

const deliveriesPath = "/v1/deliveries/"

// ListDeliveries returns one page of a webhook's deliveries, newest first. A
// status ("pending", "retrying", "succeeded", "failed") selects; empty: all.
func (c *Client) ListDeliveries(ctx context.Context, webhookID, status string, page Page) (*rest.DeliveryList, error) {
	escaped, err := requestSegment("webhook", webhookID)
	if err != nil {
		return nil, err
	}
	query := page.query()
	if status != "" {
		query.Set("status", status)
	}
	list := &rest.DeliveryList{}
	_, err = c.doRequest(ctx, call{method: http.MethodGet, path: webhooksPath + "/" + escaped + "/deliveries", query: query, repeatable: true}, list)
	if err != nil {
		return nil, err
	}
	return list, nil
}

// Deliveries yields a webhook's deliveries, newest first, asking for page after
// page. It ends after the first error.
func (c *Client) Deliveries(ctx context.Context, webhookID, status string) iter.Seq2[rest.Delivery, error] {
	return pages(ctx, pageSize, func(ctx context.Context, page Page) ([]rest.Delivery, *string, error) {
		list, err := c.ListDeliveries(ctx, webhookID, status, page)
		if err != nil {
			return nil, nil, err
		}
		return list.Data, list.NextCursor, nil
	})
}

// GetDelivery returns a delivery with its attempts and its payload.
func (c *Client) GetDelivery(ctx context.Context, id string) (*rest.DeliveryDetail, error) {
	escaped, err := requestSegment("delivery", id)
	if err != nil {
		return nil, err
	}
	delivery := &rest.DeliveryDetail{}
	if _, err := c.doRequest(ctx, call{method: http.MethodGet, path: deliveriesPath + escaped, repeatable: true}, delivery); err != nil {
		return nil, err
	}
	return delivery, nil
}

// RetryDelivery asks for one attempt now. It is never repeated by itself, since
// each call on a failed delivery makes an attempt.
func (c *Client) RetryDelivery(ctx context.Context, id string) (*rest.Delivery, error) {
	escaped, err := requestSegment("delivery", id)
	if err != nil {
		return nil, err
	}
	delivery := &rest.Delivery{}
	if _, err := c.doRequest(ctx, call{method: http.MethodPost, path: deliveriesPath + escaped + "/retry"}, delivery); err != nil {
		return nil, err
	}
	return delivery, nil
}
