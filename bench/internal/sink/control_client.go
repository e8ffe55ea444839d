// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"bbmcp.quietstack.com/webhooks/bench/internal/stats"
)

// ControlClient steers a Sink from another process.
type ControlClient struct {
	// Base is the URL of the control API.
	Base string
}

// Ready fails while the Sink does not answer.
func (c ControlClient) Ready(ctx context.Context) error { return c.get(ctx, "/ready", nil) }

// Totals returns what has come so far, by class.
func (c ControlClient) Totals(ctx context.Context) (all map[string]Totals, err error) {
	return all, c.get(ctx, "/totals", &all)
}

// Counts returns, by path, how often each event of a run came.
func (c ControlClient) Counts(ctx context.Context, run int) (all map[string][]byte, err error) {
	return all, c.get(ctx, fmt.Sprintf("/counts?run=%d", run), &all)
}

// Latencies returns, by class, the times since the last reset.
func (c ControlClient) Latencies(ctx context.Context) (all map[string]stats.Latency, err error) {
	return all, c.get(ctx, "/latencies", &all)
}

// ResetLatencies forgets the times so far.
func (c ControlClient) ResetLatencies(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/latencies/reset", nil, nil)
}

// Answer sets how a class answers from now on.
func (c ControlClient) Answer(ctx context.Context, class string, a Answer) error {
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return c.call(ctx, http.MethodPut, "/classes/"+class, body, nil)
}

func (c ControlClient) get(ctx context.Context, path string, into any) error {
	return c.call(ctx, http.MethodGet, path, nil, into)
}

func (c ControlClient) call(ctx context.Context, method, path string, body []byte, into any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, c.Base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("receiver: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("receiver: %s %s: %s", method, path, response.Status)
	}
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		return fmt.Errorf("receiver: %s %s: %w", method, path, err)
	}
	return nil
}
