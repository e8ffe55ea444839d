// SPDX-License-Identifier: Apache-2.0

package publish

import (
	"fmt"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

// newUnstoredAttempt is a first attempt of an event for a webhook of a namespace.
func newUnstoredAttempt(namespace string, event, payloadBytes int) *firstAttempt {
	webhook := &v1alpha1.Webhook{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "a", UID: types.UID(namespace)}, Spec: v1alpha1.WebhookSpec{URL: "https://example.com/"},
	}
	draft := &deliveryDraft{webhook: webhook, eventID: fmt.Sprintf("evt_%d", event), payload: make([]byte, payloadBytes)}
	return &firstAttempt{draft: draft, endpointRevision: signingsecret.EndpointRevision(webhook)}
}

func (u *unstoredAttempts) hasAttempt(a *firstAttempt) bool {
	return u.find(a.draft.webhook, a.draft.name()) == a
}

// A namespace in which nothing can be stored, for example because of a policy of its own, takes bounded memory, and
// makes no other namespace forget its attempts.
func TestUnstoredAttemptsOfOneNamespacePushOutNoneOfAnother(t *testing.T) {
	now := time.Now()
	u := newUnstoredAttempts(func() time.Time { return now })
	neighbour := newUnstoredAttempt("neighbour", 0, 1000)
	u.add(neighbour)
	const payloadBytes, many = 100 << 10, 400
	var flood []*firstAttempt
	for event := range many {
		flood = append(flood, newUnstoredAttempt("attacker", event, payloadBytes))
		u.add(flood[event])
	}
	if !u.hasAttempt(neighbour) {
		t.Error("the neighbour's attempt is forgotten")
	}
	if !u.hasAttempt(flood[many-1]) || u.hasAttempt(flood[0]) {
		t.Error("it is not the oldest attempts of the attacker that are forgotten")
	}
	if u.bytes > unstoredBytes || u.bytes < unstoredBytes/2 || len(u.byDelivery) != u.byAge.Len() {
		t.Errorf("%d bytes of %d attempts, %d by delivery", u.bytes, u.byAge.Len(), len(u.byDelivery))
	}
	now = now.Add(unstoredFor)
	if u.hasAttempt(neighbour) || u.bytes != 0 || u.byAge.Len() != 0 || len(u.bytesByNamespace) != 0 {
		t.Errorf("after %s there are %d bytes of %d attempts", unstoredFor, u.bytes, u.byAge.Len())
	}
}
