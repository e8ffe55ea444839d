// SPDX-License-Identifier: Apache-2.0

package store

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
	// Heartbeat is for how long the watches may be silent before the API server is asked for a sign of life.
	Heartbeat = 10 * time.Second
	// staleAfter is the staleness from which nothing is answered from memory.
	staleAfter = time.Minute
	// probeTimeout bounds the question for a sign of life.
	probeTimeout = 2 * time.Second
)

// errNotSynced is why a gateway that has just started is not ready.
var errNotSynced = errors.New("webhooks, deliveries and event types are still being read")

// StaleError says that what the gateway holds in memory may be out of date.
type StaleError struct{ Cause error }

// Error implements error.
func (e *StaleError) Error() string {
	return "what is in memory may be out of date: " + e.Cause.Error()
}

// Unwrap implements errors.Unwrap.
func (e *StaleError) Unwrap() error { return e.Cause }

// Staleness says how old what the gateway holds in memory may be.
type Staleness struct {
	client     client.Client
	webhooks   *WebhookIndex
	deliveries *DeliveryIndex
	eventTypes *EventTypeIndex
}

// NewStaleness returns the staleness of these indexes; reader reaches the API server on the connection of their watches.
func NewStaleness(reader client.Client, webhooks *WebhookIndex, deliveries *DeliveryIndex, eventTypes *EventTypeIndex) *Staleness {
	return &Staleness{client: reader, webhooks: webhooks, deliveries: deliveries, eventTypes: eventTypes}
}

// CheckSynced returns an error until everything is in memory.
func (s *Staleness) CheckSynced() error {
	if !s.webhooks.Synced() || !s.deliveries.Synced() || !s.eventTypes.Synced() {
		return errNotSynced
	}
	return nil
}

// silence is the longest time for which one of the watches has been silent.
func (s *Staleness) silence() time.Duration {
	return max(s.webhooks.Staleness(), s.deliveries.Staleness(), s.eventTypes.Staleness())
}

// Check returns an error if what is in memory may be out of date.
func (s *Staleness) Check() error {
	if err := s.CheckSynced(); err != nil {
		return &StaleError{err}
	}
	if silence := s.silence(); silence > staleAfter {
		return &StaleError{fmt.Errorf("the API server has been silent for %s", silence.Round(time.Second))}
	}
	return nil
}

// Beat makes the API server answer when the watches are silent, on the connection that they use: lasting silence then
// means that it is out of reach.
func (s *Staleness) Beat(ctx context.Context) {
	if s.silence() >= Heartbeat && s.probeAPIServer(ctx) == nil {
		s.webhooks.ConfirmFresh()
		s.deliveries.ConfirmFresh()
		s.eventTypes.ConfirmFresh()
	}
}

func (s *Staleness) probeAPIServer(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return s.client.List(ctx, &v1alpha1.EventTypeList{}, client.Limit(1), &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: "0"}})
}
