// SPDX-License-Identifier: Apache-2.0

package panics

import (
	"fmt"
	"log/slog"
	"runtime"
	"runtime/debug"

	"github.com/prometheus/client_golang/prometheus"
)

// Place is where a panic was recovered, for the metric.
type Place string

// The places.
const (
	// Request: a request of the REST API or the dashboard.
	Request Place = "request"
	// Event: one event of a batch.
	Event Place = "event"
	// Delivery: one delivery of an event, on its way to an endpoint or an object.
	Delivery Place = "delivery"
	// Object: an object that the API server sent.
	Object Place = "object"
	// Background: work of the process's own, and that of client-go.
	Background Place = "background"
)

// Guard recovers panics. A nil Guard recovers them, too, and tells nobody.
type Guard struct {
	total  *prometheus.CounterVec
	logger *slog.Logger
}

// New registers the metric.
func New(registry prometheus.Registerer, logger *slog.Logger) *Guard {
	g := &Guard{logger: logger, total: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "bbmcp_recovered_panics_total",
		Help: "Panics that were recovered, each a bug, by where: request, event (of a batch), delivery, object (that the API server sent) or background.",
	}, []string{"where"})}
	registry.MustRegister(g.total)
	for _, place := range []Place{Request, Event, Delivery, Object, Background} {
		g.total.WithLabelValues(string(place)) // an increase from nothing is none
	}
	return g
}

// Error is what becomes of a panic.
type Error struct {
	Place Place
	// Cause is the runtime's text, or the type of what was panicked with.
	Cause string
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("panic in %s: %s", e.Place, e.Cause) }

// Do calls f. If f panics, the panic is counted and logged and returned, an
// *Error; what f has locked and not deferred to unlock stays locked.
func (g *Guard) Do(place Place, f func()) (err error) {
	defer func() {
		if value := recover(); value != nil {
			err = g.Recovered(place, value)
		}
	}()
	f()
	return nil
}

// Recovered counts and logs what recover has returned. Call it in the deferred
// function, while the stack is still there.
func (g *Guard) Recovered(place Place, value any) *Error {
	e := &Error{Place: place, Cause: fmt.Sprintf("%T", value)}
	if runtimeError, ok := value.(runtime.Error); ok {
		e.Cause = runtimeError.Error()
	}
	if g != nil {
		g.total.WithLabelValues(string(place)).Inc()
		g.logger.Error("recovered a panic; please report it as a bug", "where", string(place), "cause", e.Cause, "stack", string(debug.Stack()))
	}
	return e
}
