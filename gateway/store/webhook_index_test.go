// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/match"
)

func webhookForEvents(namespace, name string, uid types.UID, version int, events ...string) *v1alpha1.Webhook {
	webhook := &v1alpha1.Webhook{Spec: v1alpha1.WebhookSpec{Events: events}}
	webhook.Namespace, webhook.Name, webhook.UID, webhook.ResourceVersion = namespace, name, uid, strconv.Itoa(version)
	webhook.CreationTimestamp = metav1.NewTime(time.Unix(int64(uid[len(uid)-1]%3), 0))
	return webhook
}

// TestWebhookIndexFindsWhatASearchFinds compares look-ups with a search of all webhooks, while webhooks are created,
// changed, deleted, and created again under the same name.
func TestWebhookIndexFindsWhatASearchFinds(t *testing.T) {
	patterns := []string{"*", "a", "b", "a.*", "a.b", "a.b.*", "a.b.c", "b.*", "never.*"}
	eventTypes := []string{"a", "b", "a.b", "a.b.c", "b.a", "c"}
	random := rand.New(rand.NewPCG(1, 2))
	x := NewWebhookIndex(time.Now)
	alive := map[string]*v1alpha1.Webhook{}
	for step := 1; step <= 3000; step++ {
		namespace, name := []string{"x", "y"}[random.IntN(2)], fmt.Sprintf("w%d", random.IntN(8))
		key := namespace + "/" + name
		known := alive[key]
		switch {
		case known != nil && random.IntN(3) == 0:
			x.ApplyDelete(types.NamespacedName{Namespace: namespace, Name: name}, known.UID)
			delete(alive, key)
		default:
			uid := types.UID(fmt.Sprintf("uid-%d", step))
			if known != nil && random.IntN(4) > 0 {
				uid = known.UID
			}
			var events []string
			for range random.IntN(4) {
				events = append(events, patterns[random.IntN(len(patterns))])
			}
			webhook := webhookForEvents(namespace, name, uid, step, events...)
			if random.IntN(8) == 0 {
				webhook.DeletionTimestamp = new(metav1.Now())
			}
			x.ApplyWrite(webhook)
			alive[key] = webhook
		}
		for _, eventType := range eventTypes {
			var want []*v1alpha1.Webhook
			for _, webhook := range alive {
				if webhook.Namespace == namespace && webhook.DeletionTimestamp.IsZero() && match.Matches(webhook.Spec.Events, eventType) {
					want = append(want, webhook)
				}
			}
			slices.SortFunc(want, func(a, b *v1alpha1.Webhook) int {
				if order := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); order != 0 {
					return order
				}
				return slices.Compare([]byte(a.UID), []byte(b.UID))
			})
			if got := x.ListMatching(namespace, eventType); !slices.Equal(got, want) {
				t.Fatalf("step %d: matching(%q) found %d webhooks, want %d", step, eventType, len(got), len(want))
			}
		}
		for _, webhook := range alive {
			if x.FindByID(webhook.Namespace, WebhookID(webhook)) != webhook || x.FindByUID(webhook.Namespace, webhook.UID) != webhook || x.FindByName(webhook.Namespace, webhook.Name) != webhook {
				t.Fatalf("step %d: %s/%s is not found by id, UID and name", step, webhook.Namespace, webhook.Name)
			}
		}
	}
	for key, webhook := range alive {
		x.ApplyDelete(types.NamespacedName{Namespace: webhook.Namespace, Name: webhook.Name}, webhook.UID)
		delete(alive, key)
	}
	if len(x.namespaces) != 0 {
		t.Errorf("%d namespaces are left after the last webhook", len(x.namespaces))
	}
}

// BenchmarkListMatching must not depend on the number of webhooks that do not match.
func BenchmarkListMatching(b *testing.B) {
	for _, others := range []int{0, 100, 10_000} {
		b.Run(fmt.Sprintf("%d others", others), func(b *testing.B) {
			x := NewWebhookIndex(time.Now)
			x.ApplyWrite(webhookForEvents("x", "wants", "uid-0", 1, "context.*"))
			for i := range others {
				x.ApplyWrite(webhookForEvents("x", fmt.Sprintf("other-%d", i), types.UID(fmt.Sprintf("other-%d", i)), i+2, "other.created"))
			}
			for b.Loop() {
				if len(x.ListMatching("x", "context.created")) != 1 {
					b.Fatal("not found")
				}
			}
		})
	}
}
