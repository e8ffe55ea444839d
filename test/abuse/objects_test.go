// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// declareType makes an event type until the case is over.
func (s *scene) declareType(name, schema string) {
	s.Helper()
	object := &v1alpha1.EventType{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.EventTypeSpec{Schema: schema}}
	s.try(s.stack.Client.Create(s.ctx, object))
	s.Cleanup(func() {
		if err := s.stack.Client.Delete(s.background(), object); err != nil {
			s.Error(err)
		}
	})
}

// known waits until the gateway accepts events of a type of the attacker.
func (s *scene) known(token, eventType, data string) {
	s.Helper()
	c := call{path: "/v1/events", token: s.tokens[token], body: fmt.Appendf(nil, `{"event":%q,"data":%s}`, eventType, data)}
	a := newAttacker(s.ctx, s.place())
	s.try(s.poll(s.ctx, "event type "+eventType, func() (bool, error) {
		status, text := a.do(c)
		if status != 202 {
			return false, fmt.Errorf("%d: %s", status, text)
		}
		return true, nil
	}))
}

// background outlives the case, for what is taken away after it.
func (s *scene) background() context.Context { return context.WithoutCancel(s.ctx) }

// dropWebhooks deletes the attacker's webhooks and what is waiting for them.
func (s *scene) dropWebhooks() {
	s.Helper()
	ctx := s.background()
	for _, list := range []client.Object{&v1alpha1.WebhookDelivery{}, &v1alpha1.Webhook{}, &v1alpha1.WebhookDelivery{}} {
		if err := s.stack.Client.DeleteAllOf(ctx, list, client.InNamespace(s.namespace)); err != nil {
			s.Error(err)
		}
	}
}

// tellLost is what is known of an event of the neighbour's that did not arrive.
func (s *scene) tellLost(id string) string {
	if id == "" {
		return ""
	}
	var list v1alpha1.WebhookDeliveryList
	if err := s.stack.Client.List(s.ctx, &list, client.InNamespace(neighbourSpace)); err != nil {
		return err.Error()
	}
	for i := range list.Items {
		if one := &list.Items[i]; one.Spec.EventID == id {
			return fmt.Sprintf("; created %s, now %s: %+v", one.CreationTimestamp.UTC(), time.Now().UTC(), one.Status)
		}
	}
	return "; no delivery of " + id + " exists"
}

// patch changes an object of the attacker's, with all rights.
func (s *scene) patch(kind, name, text string) error {
	object := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind(kind))
	return s.stack.Client.Patch(s.ctx, object, client.RawPatch(types.MergePatchType, []byte(text)))
}

// encode is text as a part of a token.
func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

func newDelivery(namespace, name, webhook, payload string) *v1alpha1.WebhookDelivery {
	return &v1alpha1.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec: v1alpha1.WebhookDeliverySpec{
			WebhookRef: v1alpha1.WebhookReference{Name: webhook}, EventID: name, EventType: "context.created", Payload: payload,
		},
	}
}

func largeEvent(i int, text string) []byte {
	data := strings.TrimSuffix(createdData, "}") + fmt.Sprintf(`,"metadata":{"n":%d,"text":%q}}`, i, text)
	return fmt.Appendf(nil, `{"event":"context.created","data":%s}`, data)
}
