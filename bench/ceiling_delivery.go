// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// ceilingDelivery is one as the gateway makes it.
func ceilingDelivery(owner *v1alpha1.Webhook, name, payload string) *v1alpha1.WebhookDelivery {
	reference := metav1.NewControllerRef(owner, v1alpha1.GroupVersion.WithKind("Webhook"))
	reference.BlockOwnerDeletion = nil
	return &v1alpha1.WebhookDelivery{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.GroupVersion.String(), Kind: "WebhookDelivery"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: owner.Namespace, Name: name, OwnerReferences: []metav1.OwnerReference{*reference},
			Labels: map[string]string{v1alpha1.OriginLabel: v1alpha1.OriginGateway, v1alpha1.WebhookLabel: owner.Name},
		},
		Spec: v1alpha1.WebhookDeliverySpec{
			WebhookRef: v1alpha1.WebhookReference{Name: owner.Name}, EventID: "evt_" + name, EventType: eventType,
			Payload: payload, AcceptedTime: new(ceilingDeliveryTime()),
		},
	}
}

// ceilingDeliveryStatus is the status of a delivery that succeeded at once.
func ceilingDeliveryStatus() v1alpha1.WebhookDeliveryStatus {
	now := ceilingDeliveryTime()
	return v1alpha1.WebhookDeliveryStatus{
		State: v1alpha1.DeliverySucceeded, Attempts: 1, ResponseStatus: new(int32(http.StatusOK)),
		LastAttemptTime: &now, CompletionTime: &now,
		AttemptLog: []v1alpha1.Attempt{{Number: 1, StartTime: now, DurationMilliseconds: 1, ResponseStatus: new(int32(http.StatusOK)), Reason: "Succeeded"}},
		Conditions: []metav1.Condition{{
			Type: "Succeeded", Status: metav1.ConditionTrue, Reason: "Succeeded", Message: "the endpoint answered with a status of 2xx",
			LastTransitionTime: metav1.NewTime(now.Time), ObservedGeneration: 1,
		}},
	}
}

func ceilingDeliveryTime() metav1.MicroTime {
	return metav1.NewMicroTime(time.Now().UTC().Truncate(time.Microsecond))
}

// writtenDelivery is an object that exists.
type writtenDelivery struct{ name, resourceVersion string }

// deliveryPile is objects that exist and wait for their next write. It is safe for
// concurrent use.
type deliveryPile struct {
	mu      sync.Mutex
	objects []writtenDelivery
}

func (p *deliveryPile) put(one writtenDelivery) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.objects = append(p.objects, one)
}

func (p *deliveryPile) take() (one writtenDelivery, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.objects) == 0 {
		return one, false
	}
	last := len(p.objects) - 1
	one, p.objects = p.objects[last], p.objects[:last]
	return one, true
}
