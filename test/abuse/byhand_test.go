// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"fmt"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// byHandAttacks are deliveries that are made without the gateway.
func byHandAttacks() []attack {
	return []attack{
		{name: "large bodies by hand to endpoints that hang", arrange: declareHangingByHand, act: (*attacker).stand},
	}
}

const (
	// largePayload is nearly as large as a payload may be.
	largePayload = 255 << 10
	// largeEndpoints times the most first attempts of a webhook are more than all
	// first attempts that there may be.
	largeEndpoints = 16
)

// stand does nothing until the attack ends: what was arranged is the attack.
func (a *attacker) stand() { <-a.Done() }

// declareHangingByHand makes more large deliveries than the manager has slots.
func declareHangingByHand(s *scene) {
	declareHanging(s)
	many := size(200, 768)
	payload := `{"event":"context.created","timestamp":"2024-01-15T10:30:00Z","data":{"text":"` + strings.Repeat("x", largePayload-100) + `"}}`
	s.try(inParallel(8, many, func(i int) error {
		return s.stack.Client.Create(s.ctx, newDelivery(s.namespace, fmt.Sprint("by-hand-", i), fmt.Sprint("large-", i%largeEndpoints), payload))
	}))
}

func (s *scene) declareLarge(step receiver.Step) {
	var hooks []*v1alpha1.Webhook
	for i := range largeEndpoints {
		hook := newProductWebhook(s.namespace, fmt.Sprint("large-", i), s.endpoint(i, step).URL("/"))
		hook.Spec.RetryPolicy = &v1alpha1.RetryPolicy{Timeout: &metav1.Duration{Duration: 30 * time.Second}, Delays: &[]metav1.Duration{}}
		hooks = append(hooks, hook)
	}
	s.try(s.declare(s.ctx, hooks...))
	s.token("publisher", "bbmcp-publisher")
	s.Cleanup(s.dropWebhooks)
}

// declareHanging declares webhooks whose endpoints hang.
func declareHanging(s *scene) { s.declareLarge(receiver.Step{Fault: receiver.Hang}) }
