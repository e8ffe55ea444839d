// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"crypto/sha256"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/attemptlog"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/internal/payload"
)

// DeliveryEntry is what the index holds of a delivery: all but its payload and the log of its attempts. It is shared
// and must not be changed.
type DeliveryEntry struct {
	Namespace, Name string
	UID             types.UID
	ID              string // delivery_id
	Webhook         string // name
	Owner           types.UID
	EventID         string
	EventType       string
	Test            bool

	State          v1alpha1.DeliveryState // "" is Pending
	Attempts       int32
	ResponseStatus *int32
	ErrorMessage   string
	Created        time.Time
	NextAttempt    *metav1.MicroTime
	Completed      *metav1.MicroTime
	LastDuration   time.Duration // of the latest attempt
	pendingOutcome bool          // the delivery has succeeded, and the controller has not written that
	Latest         LatestAttempt
	Unrecorded     int64 // successes that it is the record for, beyond itself

	Timestamp time.Time         // of the payload; zero if we did not make the payload
	Bytes     int64             // of the payload
	Digest    [sha256.Size]byte // of the payload
}

// IsUnfinished reports whether the delivery may get another attempt.
func (r *DeliveryEntry) IsUnfinished() bool {
	return r.State != v1alpha1.DeliverySucceeded && r.State != v1alpha1.DeliveryFailed
}

// NewDeliveryEntry returns what the index holds of a delivery.
func NewDeliveryEntry(delivery *v1alpha1.WebhookDelivery, now time.Time) *DeliveryEntry {
	r := &DeliveryEntry{
		Namespace: delivery.Namespace, Name: delivery.Name, UID: delivery.UID,
		ID:      identity.DeliveryID(delivery.Name, string(delivery.UID)),
		Webhook: delivery.Spec.WebhookRef.Name,
		EventID: delivery.Spec.EventID, EventType: delivery.Spec.EventType, Test: delivery.Spec.Test,
		State: delivery.Status.State, Attempts: delivery.Status.Attempts,
		ResponseStatus: delivery.Status.ResponseStatus, ErrorMessage: delivery.Status.ErrorMessage,
		Created: entryCreationTime(delivery), NextAttempt: delivery.Status.NextAttemptTime, Completed: delivery.Status.CompletionTime,
		LastDuration: latestAttemptDuration(delivery), Timestamp: entryTimestamp(&delivery.Spec),
		Bytes: int64(len(delivery.Spec.Payload)), Digest: sha256.Sum256([]byte(delivery.Spec.Payload)),
	}
	if owner := metav1.GetControllerOf(delivery); owner != nil {
		r.Owner = owner.UID
	}
	r.Unrecorded = UnrecordedCount(delivery)
	r.applyPendingOutcome(delivery, now)
	r.Latest = newLatestAttempt(delivery, now)
	return r
}

// UnrecordedCount is the number of unrecorded successes that a gateway's record carries.
func UnrecordedCount(delivery *v1alpha1.WebhookDelivery) int64 {
	if delivery.Labels[v1alpha1.OriginLabel] != v1alpha1.OriginGateway {
		return 0
	}
	n, err := strconv.ParseInt(delivery.Annotations[v1alpha1.UnrecordedAnnotation], 10, 64)
	if err != nil || n < 0 || n > maxUnrecorded {
		return 0
	}
	return n
}

// maxUnrecorded is more than a gateway counts between two records.
const maxUnrecorded = 1e9

// applyPendingOutcome applies an attempt that the controller has not decided about yet: of the gateway that created the
// object, or handed the delivery over.
func (r *DeliveryEntry) applyPendingOutcome(delivery *v1alpha1.WebhookDelivery, now time.Time) {
	attempt := delivery.Spec.FirstAttempt
	if log := delivery.Status.AttemptLog; attempt == nil && len(log) == 1 {
		attempt = &log[0]
	}
	if r.State != "" || attempt == nil {
		return
	}
	entry := attemptlog.BoundEntry(*attempt, now)
	r.Attempts, r.ResponseStatus, r.ErrorMessage = 1, entry.ResponseStatus, entry.Message
	r.State = v1alpha1.DeliveryRetrying
	if entry.Reason == "" {
		r.State, r.pendingOutcome, r.Completed = v1alpha1.DeliverySucceeded, true, new(metav1.NewMicroTime(attemptlog.EntryEnd(&entry)))
	}
}

// entryTimestamp reads the timestamp out of a payload, without parsing all of it.
func entryTimestamp(spec *v1alpha1.WebhookDeliverySpec) time.Time {
	rest, ok := strings.CutPrefix(spec.Payload, `{"event":"`+spec.EventType+`","timestamp":"`)
	text, _, found := strings.Cut(rest[:min(len(rest), 32)], `"`)
	if !ok || !found {
		return time.Time{}
	}
	stamp, _ := payload.ParseTimestamp(text) // zero if it is invalid
	return stamp
}

// entryCreationTime is when the event was accepted; when the object was created, if it does not say.
func entryCreationTime(delivery *v1alpha1.WebhookDelivery) time.Time {
	created := delivery.CreationTimestamp.UTC()
	if accepted := delivery.Spec.AcceptedTime; accepted != nil && accepted.Time.Before(created.Add(time.Second)) {
		return accepted.UTC()
	}
	return created
}

// endTime is when a delivery finished, or was created if that is unknown.
func (r *DeliveryEntry) endTime() time.Time {
	if r.Completed == nil {
		return r.Created
	}
	return r.Completed.Time
}

// listedBefore orders a list: the newest first.
func listedBefore(a, b *DeliveryEntry) bool {
	return cmp.Or(b.Created.Compare(a.Created), cmp.Compare(a.Name, b.Name)) < 0
}

// acceptedBefore orders by waiting time: the longest first.
func acceptedBefore(a, b *DeliveryEntry) bool {
	return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Name, b.Name)) < 0
}

// endedAfter orders by end: the latest first.
func endedAfter(a, b *DeliveryEntry) bool {
	return cmp.Or(b.endTime().Compare(a.endTime()), cmp.Compare(a.Name, b.Name)) < 0
}
