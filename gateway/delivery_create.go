// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"
	"unicode/utf8"

	"github.com/oklog/ulid/v2"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/denial"
	"bbmcp.quietstack.com/webhooks/internal/identity"
)

const (
	// createTries and createPause bound the tries to create one delivery within a request: three, with a pause that
	// doubles.
	createTries = 3
	createPause = 100 * time.Millisecond
	// maxPublisherBytes is the maximum length of spec.publishedBy.
	maxPublisherBytes = 512
	// storingDeliveries says what failed, in a problem.
	storingDeliveries = "storing the deliveries"
)

// deliveryDraft is a delivery before its object exists.
type deliveryDraft struct {
	webhook     *v1alpha1.Webhook
	objectName  string // "": not derived yet
	eventID     string
	eventType   string
	payload     []byte
	timestamp   time.Time // of the payload
	accepted    time.Time
	publishedBy string
	traceParent string // "" or valid
	test        bool
	reservation *byteReservation // nil: none
}

func (d *deliveryDraft) name() string {
	if d.objectName != "" {
		return d.objectName
	}
	return identity.DeliveryName(d.eventID, string(d.webhook.UID))
}

func (d *deliveryDraft) object() *v1alpha1.WebhookDelivery {
	owner := metav1.NewControllerRef(d.webhook, v1alpha1.GroupVersion.WithKind("Webhook"))
	owner.BlockOwnerDeletion = nil // needs a right over the webhook's finalizers
	object := &v1alpha1.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: d.webhook.Namespace, Name: d.name(),
			Labels: map[string]string{
				v1alpha1.OriginLabel:  v1alpha1.OriginGateway,
				v1alpha1.WebhookLabel: identity.LabelValue(d.webhook.Name),
			},
			OwnerReferences: []metav1.OwnerReference{*owner},
		},
		Spec: v1alpha1.WebhookDeliverySpec{
			WebhookRef: v1alpha1.WebhookReference{Name: d.webhook.Name},
			EventID:    d.eventID, EventType: d.eventType, Payload: string(d.payload),
			AcceptedTime: new(metav1.NewMicroTime(d.accepted.UTC().Truncate(time.Microsecond))),
			Test:         d.test, TraceParent: d.traceParent, PublishedBy: truncateText(d.publishedBy, maxPublisherBytes),
		},
	}
	if len(d.webhook.Spec.UnknownMembers) > 0 {
		metav1.SetMetaDataAnnotation(&object.ObjectMeta, v1alpha1.HeldAnnotation, v1alpha1.HeldGatewayTooOld)
	}
	return object
}

// matches reports whether an object is this delivery, regardless of who wrote it and when.
func (d *deliveryDraft) matches(object *v1alpha1.WebhookDelivery) bool {
	return d.matchesEvent(object) && object.Spec.Payload == string(d.payload)
}

// matchesEvent is matches without comparing the payload.
func (d *deliveryDraft) matchesEvent(object *v1alpha1.WebhookDelivery) bool {
	owner := metav1.GetControllerOf(object)
	return owner != nil && owner.UID == d.webhook.UID && object.Spec.WebhookRef.Name == d.webhook.Name &&
		object.Spec.EventID == d.eventID && object.Spec.EventType == d.eventType && object.Spec.Test == d.test
}

// newEventID returns a ULID behind a prefix such as "evt_".
func (g *Gateway) newEventID(prefix string) (string, error) {
	id, err := ulid.New(ulid.Timestamp(g.now()), g.random)
	if err != nil {
		return "", fmt.Errorf("make an event id: %w", err)
	}
	return prefix + id.String(), nil
}

// createDelivery stores a delivery with the gateway's own rights; the caller's right to publish was checked before. An
// equal delivery that exists is success; another object of its name is an eventIDTakenError. After a failure of the
// platform the delivery may exist all the same, and repeating with the same event id is safe.
func (g *Gateway) createDelivery(ctx context.Context, draft deliveryDraft) (*deliveryEntry, error) {
	stored, err := g.createObject(ctx, draft.object(), draft.reservation)
	if err != nil {
		return nil, err
	}
	if !draft.matches(stored) {
		return nil, &eventIDTakenError{draft.eventID}
	}
	return g.indexDelivery(stored), nil
}

// indexDelivery adds what the API server has stored to the index of this replica.
func (g *Gateway) indexDelivery(stored *v1alpha1.WebhookDelivery) *deliveryEntry {
	g.deliveries.ApplyWrite(stored)
	return newDeliveryEntry(stored, g.now())
}

// bytesPerWrite is how many bytes of payload count as one write: a payload of 256 KiB costs the API server some
// seventeen times as much as a small one.
const bytesPerWrite = 16 << 10

func countWrites(payload string) int { return 1 + len(payload)/bytesPerWrite }

// createObject returns what the API server holds under an object's name: the object, or what was there before. The
// write counts against the write budget of the namespace but is made in any case, as its event is admitted. The
// reserved bytes are spent, unless the write is refused.
func (g *Gateway) createObject(ctx context.Context, object *v1alpha1.WebhookDelivery, reserved *byteReservation) (*v1alpha1.WebhookDelivery, error) {
	release, err := g.writes.beginWrite(ctx, object.Namespace, object.Spec.Payload)
	if err != nil {
		return nil, &unavailableError{storingDeliveries, err}
	}
	defer release()
	reserved.spend()
	for try := 1; ; try++ {
		stored, err := g.tryCreate(ctx, object)
		if err == nil {
			return stored, nil
		}
		if try == createTries || !isTransient(err) || !sleep(ctx, createPause<<(try-1)) {
			err = &createError{err}
			if isKnownUnstored(err) {
				reserved.refund()
			}
			return nil, err
		}
	}
}

// isKnownUnstored reports whether the error of a create proves that nothing was stored.
func isKnownUnstored(err error) bool { return classOf(err) != failurePlatform }

func (g *Gateway) tryCreate(ctx context.Context, object *v1alpha1.WebhookDelivery) (*v1alpha1.WebhookDelivery, error) {
	stored := object.DeepCopy()
	err := g.writeTimeouts.Do(ctx, object.Namespace, func(ctx context.Context) error { return g.client.Create(ctx, stored) })
	if denial.Of(err) == denial.Namespace && !apierrors.IsNotFound(err) {
		g.terminating.add(object.Namespace)
	}
	if !denial.IsAlreadyExists(err) {
		return stored, err
	}
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	stored = &v1alpha1.WebhookDelivery{}
	return stored, g.client.Get(ctx, client.ObjectKeyFromObject(object), stored)
}

// isTransient reports whether the next try may succeed. Not found means that the object which was in the way a moment
// ago is gone.
func isTransient(err error) bool {
	if denial.Of(err) != denial.None {
		return denial.Of(err) == denial.Broken
	}
	status, ok := errors.AsType[*apierrors.StatusError](err)
	if !ok {
		return true // the network, a timeout
	}
	code := status.Status().Code
	return code >= http.StatusInternalServerError || code == http.StatusTooManyRequests ||
		code == http.StatusConflict || code == http.StatusNotFound
}

// sleep waits; false: ctx has ended.
func sleep(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// truncateText cuts text to n bytes, never within a character.
func truncateText(text string, n int) string {
	if len(text) <= n {
		return text
	}
	for n > 0 && !utf8.RuneStart(text[n]) {
		n--
	}
	return text[:n]
}
