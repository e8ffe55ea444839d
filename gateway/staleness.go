// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/panics"
)

const (
	// heartbeat is for how long the watches may be silent before the API server is asked for a sign of life.
	heartbeat = 10 * time.Second
	// staleAfter is the staleness from which nothing is answered from memory.
	staleAfter = time.Minute
)

// errNotSynced is why a gateway that has just started is not ready.
var errNotSynced = errors.New("webhooks, deliveries and event types are still being read")

// Ready returns nil once everything is in memory.
func (g *Gateway) Ready() error {
	if !g.webhooks.Synced() || !g.deliveries.Synced() || !g.eventTypes.Synced() {
		return errNotSynced
	}
	return nil
}

// keepAlive makes the API server answer when the watches are silent, on the connection that they use: lasting silence
// then means that it is out of reach.
func (g *Gateway) keepAlive(ctx context.Context) {
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		_ = g.panics.Do(panics.Background, g.forgetDeletedWebhooks)
		if max(g.webhooks.Staleness(), g.deliveries.Staleness(), g.eventTypes.Staleness()) < heartbeat {
			continue
		}
		if g.probeAPIServer(ctx) == nil {
			g.webhooks.ConfirmFresh()
			g.deliveries.ConfirmFresh()
			g.eventTypes.ConfirmFresh()
		}
	}
}

func (g *Gateway) probeAPIServer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	return g.client.List(ctx, &v1alpha1.EventTypeList{}, client.Limit(1), &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: "0"}})
}

// checkStaleness returns an error if what is in memory may be out of date.
func (g *Gateway) checkStaleness() error {
	if err := g.Ready(); err != nil {
		return &unavailableError{"this", err}
	}
	if silence := max(g.webhooks.Staleness(), g.deliveries.Staleness(), g.eventTypes.Staleness()); silence > staleAfter {
		return &unavailableError{"this", fmt.Errorf("the API server has been silent for %s", silence.Round(time.Second))}
	}
	return nil
}
