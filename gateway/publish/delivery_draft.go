// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/internal/text"
)

const (
	// maxPublisherBytes is the maximum length of spec.publishedBy.
	maxPublisherBytes = 512
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
			Test:         d.test, TraceParent: d.traceParent, PublishedBy: text.Truncate(d.publishedBy, maxPublisherBytes),
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
