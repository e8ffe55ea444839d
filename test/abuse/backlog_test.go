// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// backlogAttacks fill what is shared.
func backlogAttacks() []attack {
	return []attack{
		{name: "a backlog made by hand", arrange: fillByHand, act: createByHand},
		{name: "a backlog that is let go", arrange: storeBacklog, act: letGo},
	}
}

// backlogLimits are small, so that an attack need not make a hundred thousand
// objects to reach them.
var backlogLimits = []string{"--backlog=2400", "--backlog-per-namespace=1000", "--backlog-per-webhook=500"}

// fillByHand makes more deliveries than all namespaces together may have.
func fillByHand(s *scene) {
	const many = 2600
	hook := newProductWebhook(s.namespace, "held", "http://127.1.0.1:9/")
	hook.Spec.Suspend = true
	s.try(s.declare(s.ctx, hook))
	s.try(inParallel(8, many, func(i int) error {
		one := newDelivery(s.namespace, fmt.Sprint("hand-", i), hook.Name, `{"event":"context.created","timestamp":"2024-01-15T10:30:00Z","data":{}}`)
		if i%2 == 0 { // as if the gateway had made it
			one.Labels = map[string]string{v1alpha1.OriginLabel: v1alpha1.OriginGateway, v1alpha1.WebhookLabel: hook.Name}
			one.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(hook, v1alpha1.GroupVersion.WithKind("Webhook"))}
		}
		return s.stack.Client.Create(s.ctx, one)
	}))
	s.token("admin", "bbmcp-admin")
	s.Cleanup(s.dropWebhooks)
}

// createByHand makes more of them.
func createByHand(a *attacker) {
	a.pace(50, 8, func(i int) {
		a.create("webhookdeliveries", a.Namespace, map[string]any{"name": fmt.Sprint("more-", i)}, map[string]any{
			"webhookRef": map[string]any{"name": []string{"held", "nobody"}[i%2]}, "eventID": fmt.Sprint("more_", i), "eventType": "context.created",
			"payload": `{"event":"context.created","timestamp":"2024-01-15T10:30:00Z","data":{}}`,
		})
	})
}

// storeBacklog stores deliveries for webhooks that are suspended.
func storeBacklog(s *scene) {
	const webhooks = 4
	many := size(1200, 10_000)
	var hooks []*v1alpha1.Webhook
	for i := range webhooks {
		hook := newProductWebhook(s.namespace, fmt.Sprint("held-", i), s.endpoint(i, receiver.Step{Delay: 20 * time.Millisecond}).URL("/"))
		hook.Spec.Suspend = true
		hooks = append(hooks, hook)
	}
	s.try(s.declare(s.ctx, hooks...))
	s.try(inParallel(8, many, func(i int) error {
		return s.stack.Client.Create(s.ctx, newDelivery(s.namespace, fmt.Sprint("held-", i), hooks[i%webhooks].Name,
			`{"event":"context.created","timestamp":"2024-01-15T10:30:00Z","data":{}}`))
	}))
	s.token("admin", "bbmcp-admin")
	s.Cleanup(s.dropWebhooks)
}

// letGo resumes and suspends the webhooks.
func letGo(a *attacker) {
	for suspended := false; a.Err() == nil; suspended = !suspended {
		for i := range 4 {
			a.change("webhooks", fmt.Sprint("held-", i), fmt.Sprintf(`{"spec":{"suspend":%t}}`, suspended))
		}
		a.wait(2 * time.Second)
	}
}
