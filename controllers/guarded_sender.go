// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"context"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/attempt"
	"bbmcp.quietstack.com/webhooks/internal/panics"
)

// guardedSender turns a panic in an attempt into the loss of that attempt.
type guardedSender struct {
	attempt.Sender

	panics *panics.Guard
}

// GuardSender keeps a panic in one attempt from ending all others.
func GuardSender(sender attempt.Sender, guard *panics.Guard) attempt.Sender {
	return guardedSender{Sender: sender, panics: guard}
}

// Send implements attempt.Sender.
func (s guardedSender) Send(ctx context.Context, request dispatcher.Request) (result dispatcher.Result, err error) {
	panicked := s.panics.Do(panics.Delivery, func() { result, err = s.Sender.Send(ctx, request) })
	if panicked != nil {
		return dispatcher.Result{}, panicked
	}
	return result, err
}
