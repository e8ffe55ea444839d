// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/attempt"
	"bbmcp.quietstack.com/webhooks/internal/panics"
)

// guardedSender turns a panic in an attempt into the loss of that attempt: it must not
// end all others.
type guardedSender struct {
	attempt.Sender

	panics *panics.Guard
}

// Send implements attempt.Sender.
func (s guardedSender) Send(ctx context.Context, request dispatcher.Request) (result dispatcher.Result, err error) {
	panicked := s.panics.Do(panics.Delivery, func() { result, err = s.Sender.Send(ctx, request) })
	if panicked != nil {
		return dispatcher.Result{}, panicked
	}
	return result, err
}
