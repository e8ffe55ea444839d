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
)

const (
	// heartbeat is for how long the watches may be silent before the API server is asked for a sign of life.
	heartbeat = 10 * time.Second
	// staleAfter is the staleness from which nothing is answered from memory.
	staleAfter = time.Minute
	// probeTimeout bounds the question for a sign of life.
	probeTimeout = 2 * time.Second
)

// errNotSynced is why a gateway that has just started is not ready.
var errNotSynced = errors.New("webhooks, deliveries and event types are still being read")

// staleError says that what the gateway holds in memory may be out of date.
type staleError struct{ cause error }

// Error implements error.
func (e *staleError) Error() string { return "what is in memory may be out of date: " + e.cause.Error() }

// Unwrap implements errors.Unwrap.
func (e *staleError) Unwrap() error { return e.cause }

// staleness says how old what the gateway holds in memory may be.
type staleness struct {
	client     client.Client
	webhooks   *webhookIndex
	deliveries *deliveryIndex
	eventTypes *eventTypeIndex
}

func newStaleness(reader client.Client, webhooks *webhookIndex, deliveries *deliveryIndex, eventTypes *eventTypeIndex) *staleness {
	return &staleness{client: reader, webhooks: webhooks, deliveries: deliveries, eventTypes: eventTypes}
}

// checkSynced returns an error until everything is in memory.
func (s *staleness) checkSynced() error {
	if !s.webhooks.Synced() || !s.deliveries.Synced() || !s.eventTypes.Synced() {
		return errNotSynced
	}
	return nil
}

// silence is the longest time for which one of the watches has been silent.
func (s *staleness) silence() time.Duration {
	return max(s.webhooks.Staleness(), s.deliveries.Staleness(), s.eventTypes.Staleness())
}

// check returns an error if what is in memory may be out of date.
func (s *staleness) check() error {
	if err := s.checkSynced(); err != nil {
		return &staleError{err}
	}
	if silence := s.silence(); silence > staleAfter {
		return &staleError{fmt.Errorf("the API server has been silent for %s", silence.Round(time.Second))}
	}
	return nil
}

// beat makes the API server answer when the watches are silent, on the connection that they use: lasting silence then
// means that it is out of reach.
func (s *staleness) beat(ctx context.Context) {
	if s.silence() >= heartbeat && s.probeAPIServer(ctx) == nil {
		s.webhooks.ConfirmFresh()
		s.deliveries.ConfirmFresh()
		s.eventTypes.ConfirmFresh()
	}
}

func (s *staleness) probeAPIServer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return s.client.List(ctx, &v1alpha1.EventTypeList{}, client.Limit(1), &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: "0"}})
}
