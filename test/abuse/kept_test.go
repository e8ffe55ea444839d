// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"fmt"
	"os"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// keptAttacks keep what has failed as long and as much of it as they may.
func keptAttacks() []attack {
	return []attack{
		{name: "large failures that are to be kept", arrange: declareKeepers, act: publishToKeepers, after: (*scene).littleKept},
	}
}

const (
	keptBytes    = 2 << 20
	keptWebhooks = 20
	keptPayload  = 16 << 10
)

// retentionLimits are small, so that an attack need not fill etcd to reach them.
// Another checkout may not know them.
func retentionLimits() []string {
	if os.Getenv(treeVariable) != "" {
		return nil
	}
	return []string{fmt.Sprint("--retain-bytes-per-namespace=", keptBytes), fmt.Sprint("--retain-bytes-total=", 3*keptBytes)}
}

// declareKeepers declares webhooks that fail at once and want that kept for a month.
func declareKeepers(s *scene) {
	var hooks []*v1alpha1.Webhook
	for i := range keptWebhooks {
		hook := newProductWebhook(s.namespace, fmt.Sprint("keeps-", i), s.endpoint(i, receiver.Step{Status: 500}).URL("/"))
		month := &metav1.Duration{Duration: 720 * time.Hour}
		hook.Spec.Retention = &v1alpha1.Retention{Failed: month, Succeeded: month, MaxCount: new(int32(10_000))}
		hook.Spec.RetryPolicy = &v1alpha1.RetryPolicy{Delays: &[]metav1.Duration{}}
		hooks = append(hooks, hook)
	}
	s.try(s.declare(s.ctx, hooks...))
	s.token("publisher", "bbmcp-publisher")
	s.Cleanup(s.dropWebhooks)
}

func publishToKeepers(a *attacker) {
	text := strings.Repeat("x", keptPayload)
	a.pace(3, 8, func(i int) { a.do(call{path: "/v1/events", token: a.Tokens["publisher"], body: largeEvent(i, text)}) })
}

// littleKept says that the namespace has no more bytes than it may, in the end.
func (s *scene) littleKept(found attackReport) {
	s.answersBelow500(found)
	sent := found.Answers["202"] * keptWebhooks * keptPayload
	if sent < keptBytes*5/4 {
		s.Errorf("only %d KiB were published, which proves nothing with a bound of %d KiB", sent>>10, keptBytes>>10)
	}
	kept := 0
	err := s.poll(s.ctx, "what is too much to go", func() (bool, error) {
		var list v1alpha1.WebhookDeliveryList
		if err := s.stack.Client.List(s.ctx, &list, client.InNamespace(s.namespace)); err != nil {
			return false, err
		}
		kept = 0
		for i := range list.Items {
			kept += len(list.Items[i].Spec.Payload)
		}
		return kept > 0 && kept <= keptBytes, nil
	})
	s.figure("%d KiB of %d KiB are kept", kept>>10, sent>>10)
	if err != nil {
		s.Errorf("%d KiB are kept: %v", kept>>10, err)
	}
}
