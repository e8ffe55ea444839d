// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"log/slog"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/denial"
	"bbmcp.quietstack.com/webhooks/internal/panics"
)

const (
	// handOverMargin is how far beyond the timeout of an attempt that is out the
	// controller makes one itself: clocks differ, and the result takes a while.
	handOverMargin = 5 * time.Second
	// settlePause is the wait before a result is written again.
	settlePause = 200 * time.Millisecond
)

// deliverAttempted creates the object of a delivery whose first attempt failed,
// or is still out: then the controller leaves it alone for as long as that can
// take.
func (p *pipeline) deliverAttempted(ctx context.Context, t *task) (*deliveryEntry, error) {
	f := t.flight
	object := f.draft.object()
	out := !f.hasEnded()
	switch {
	case out:
		until := p.g.now().Add(f.request.Timeout + handOverMargin)
		object.Spec.NotBefore = new(metav1.NewMicroTime(until.UTC().Truncate(time.Microsecond)))
	case f.err != nil: // lost: the controller makes this attempt
	case f.result.Succeeded() && !f.mustStore(): // meanwhile
		return p.delivered(f), nil
	default:
		object.Spec.FirstAttempt = new(f.made())
	}
	stored, err := p.g.createObject(ctx, object, t.reserved) // which is not the flight's where an event is repeated
	if err != nil {
		p.abandonOne(f)
		return nil, err
	}
	p.g.unstored.settle(f)
	if out && stored.Spec.NotBefore.Equal(object.Spec.NotBefore) {
		p.g.attempter.late.Go(func() {
			_ = p.g.panics.Do(panics.Delivery, func() { p.g.writeOutcome(f, stored) }) // the controller takes over
		})
	}
	return p.take(f.draft, stored)
}

// abandon lets go of first attempts whose publisher gets an error before their
// objects were begun.
func (p *pipeline) abandon(tasks []*task) {
	for _, t := range tasks {
		if !t.begun {
			p.abandonOne(t.flight)
		}
	}
}

// abandonOne remembers a first attempt that has no object, as a delivery if it
// succeeds after all: an event that is repeated is not attempted again.
func (p *pipeline) abandonOne(f *firstAttempt) {
	p.g.unstored.keep(f)
	p.g.attempter.late.Go(func() {
		<-f.ended
		if f.delivered() && !f.mustStore() {
			_ = p.g.panics.Do(panics.Delivery, func() { p.g.dedup.remember(f) })
			p.g.unstored.settle(f)
		}
	})
}

// writeOutcome writes what came of an attempt that was handed over, onto the object as
// it was when it was created: whoever has written since then goes on from what
// they know. The controller decides what follows.
func (g *Gateway) writeOutcome(f *firstAttempt, stored *v1alpha1.WebhookDelivery) {
	<-f.ended
	if f.err != nil { // the controller takes over at notBefore
		g.metrics.handedOver(handOverTaken)
		return
	}
	made := f.made()
	out := &v1alpha1.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: stored.Namespace, Name: stored.Name, UID: stored.UID, ResourceVersion: stored.ResourceVersion,
		},
		Status: v1alpha1.WebhookDeliveryStatus{
			Attempts: 1, ResponseStatus: made.ResponseStatus, ErrorMessage: made.Message,
			LastAttemptTime: new(made.StartTime), AttemptLog: []v1alpha1.Attempt{made},
		},
	}
	for { // once at least: the create may have taken all the time there was
		written := out.DeepCopy()
		err := g.writeStatus(written)
		switch {
		case err == nil:
			g.deliveries.ApplyWrite(written)
			g.metrics.handedOver(handOverSettled)
			return
		case denial.IsConflict(err), denial.IsNotFound(err), denial.IsLasting(err), !g.now().Before(stored.Spec.NotBefore.Time):
			g.metrics.handedOver(handOverTaken)
			return
		}
		g.logger.Debug("write the result of a first attempt; trying again", slog.String("delivery", stored.Name), slog.String("cause", err.Error()))
		time.Sleep(settlePause)
	}
}

func (g *Gateway) writeStatus(delivery *v1alpha1.WebhookDelivery) error {
	return g.writeTimeouts.Do(context.Background(), delivery.Namespace, func(ctx context.Context) error { return g.client.Status().Update(ctx, delivery) })
}
