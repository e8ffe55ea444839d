// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"context"
	"fmt"
	"time"

	"bbmcp.quietstack.com/webhooks/test/ports"
)

// StartReceiver starts a receiver as a process of its own and returns its base
// URL; see package test/receiver for how to steer it.
func (s *Stack) StartReceiver(ctx context.Context) (string, error) {
	address, err := ports.FreeAddress()
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("receiver-%d", s.serial())
	process, err := s.launch(name, s.Binaries.Receiver, "--listen="+address)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	return "http://" + address, process.WaitFor(ctx, name, processReady("http://"+address+"/_received"))
}
