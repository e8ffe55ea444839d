// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// tellReceiver sets what the receiver does with posts of the webhook.
func (d *demo) tellReceiver(ctx context.Context, what, body string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, d.receiver+"/"+what+"?path="+hookPath, strings.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := d.http.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusNoContent {
		return errors.New(answer.Status)
	}
	return nil
}

// readReceiverCounts asks the receiver what it counted.
func (d *demo) readReceiverCounts(ctx context.Context) (receiver.Counts, error) {
	var said struct {
		Total receiver.Counts `json:"total"`
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, d.receiver+"/_received", nil)
	if err != nil {
		return said.Total, err
	}
	answer, err := d.http.Do(request)
	if err != nil {
		return said.Total, fmt.Errorf("ask the receiver: %w", err)
	}
	defer answer.Body.Close()
	if err := json.NewDecoder(answer.Body).Decode(&said); err != nil {
		return said.Total, fmt.Errorf("ask the receiver: %w", err)
	}
	return said.Total, nil
}
