// SPDX-License-Identifier: Apache-2.0

package gateway

import (
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

// deliveryEntry is what the index holds of a delivery: all but its payload and the log of its attempts. It is shared
// and must not be changed.
type deliveryEntry struct {
	namespace, name string
	uid             types.UID
	id              string // delivery_id
	webhook         string // name
	owner           types.UID
	eventID         string
	eventType       string
	test            bool

	state          v1alpha1.DeliveryState // "" is Pending
	attempts       int32
	responseStatus *int32
	errorMessage   string
	created        time.Time
	nextAttempt    *metav1.MicroTime
	completed      *metav1.MicroTime
	lastDuration   time.Duration // of the latest attempt
	pendingOutcome bool          // the delivery has succeeded, and the controller has not written that
	latest         latestAttempt
	unrecorded     int64 // successes that it is the record for, beyond itself

	timestamp time.Time         // of the payload; zero if we did not make the payload
	bytes     int64             // of the payload
	digest    [sha256.Size]byte // of the payload
}

func (r *deliveryEntry) isUnfinished() bool {
	return r.state != v1alpha1.DeliverySucceeded && r.state != v1alpha1.DeliveryFailed
}

func newDeliveryEntry(delivery *v1alpha1.WebhookDelivery, now time.Time) *deliveryEntry {
	r := &deliveryEntry{
		namespace: delivery.Namespace, name: delivery.Name, uid: delivery.UID,
		id:      identity.DeliveryID(delivery.Name, string(delivery.UID)),
		webhook: delivery.Spec.WebhookRef.Name,
		eventID: delivery.Spec.EventID, eventType: delivery.Spec.EventType, test: delivery.Spec.Test,
		state: delivery.Status.State, attempts: delivery.Status.Attempts,
		responseStatus: delivery.Status.ResponseStatus, errorMessage: delivery.Status.ErrorMessage,
		created: createdAt(delivery), nextAttempt: delivery.Status.NextAttemptTime, completed: delivery.Status.CompletionTime,
		lastDuration: latestDuration(delivery), timestamp: payloadTimestamp(&delivery.Spec),
		bytes: int64(len(delivery.Spec.Payload)), digest: sha256.Sum256([]byte(delivery.Spec.Payload)),
	}
	if owner := metav1.GetControllerOf(delivery); owner != nil {
		r.owner = owner.UID
	}
	r.unrecorded = unrecordedCount(delivery)
	r.applyPendingOutcome(delivery, now)
	r.latest = newLatestAttempt(delivery, now)
	return r
}

// unrecordedCount is the number of unrecorded successes that a gateway's record carries.
func unrecordedCount(delivery *v1alpha1.WebhookDelivery) int64 {
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
func (r *deliveryEntry) applyPendingOutcome(delivery *v1alpha1.WebhookDelivery, now time.Time) {
	attempt := delivery.Spec.FirstAttempt
	if log := delivery.Status.AttemptLog; attempt == nil && len(log) == 1 {
		attempt = &log[0]
	}
	if r.state != "" || attempt == nil {
		return
	}
	entry := attemptlog.Bounded(*attempt, now)
	r.attempts, r.responseStatus, r.errorMessage = 1, entry.ResponseStatus, entry.Message
	r.state = v1alpha1.DeliveryRetrying
	if entry.Reason == "" {
		r.state, r.pendingOutcome, r.completed = v1alpha1.DeliverySucceeded, true, new(metav1.NewMicroTime(attemptlog.Ended(&entry)))
	}
}

// payloadTimestamp reads the timestamp out of a payload, without parsing all of it.
func payloadTimestamp(spec *v1alpha1.WebhookDeliverySpec) time.Time {
	rest, ok := strings.CutPrefix(spec.Payload, `{"event":"`+spec.EventType+`","timestamp":"`)
	text, _, found := strings.Cut(rest[:min(len(rest), 32)], `"`)
	if !ok || !found {
		return time.Time{}
	}
	stamp, _ := payload.ParseTimestamp(text) // zero if it is invalid
	return stamp
}

// createdAt is when the event was accepted; when the object was created, if it does not say.
func createdAt(delivery *v1alpha1.WebhookDelivery) time.Time {
	created := delivery.CreationTimestamp.UTC()
	if accepted := delivery.Spec.AcceptedTime; accepted != nil && accepted.Time.Before(created.Add(time.Second)) {
		return accepted.UTC()
	}
	return created
}

// endTime is when a delivery finished, or was created if that is unknown.
func (r *deliveryEntry) endTime() time.Time {
	if r.completed == nil {
		return r.created
	}
	return r.completed.Time
}

// latestDuration is the duration of the latest attempt.
func latestDuration(delivery *v1alpha1.WebhookDelivery) time.Duration {
	log := delivery.Status.AttemptLog
	if len(log) == 0 {
		return 0
	}
	return time.Duration(log[len(log)-1].DurationMilliseconds) * time.Millisecond
}
