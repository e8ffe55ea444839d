// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"strings"
	"testing"

	"github.com/oklog/ulid/v2"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/match"
	"bbmcp.quietstack.com/webhooks/internal/payload"
)

func TestExampleDeliveriesCarryTheExampleEvents(t *testing.T) {
	webhook := load[v1alpha1.Webhook](t, glob(t, "examples/webhook.yaml")[0])[0]
	if unknown := webhook.Spec.UnknownMembers; len(unknown) > 0 {
		t.Errorf("the example webhook has members that do not exist: %q", unknown)
	}
	examples := events(t)
	seen := map[string]bool{}
	for _, file := range glob(t, "examples/deliveries/*.yaml") {
		for _, delivery := range load[v1alpha1.WebhookDelivery](t, file) {
			spec := delivery.Spec
			if seen[spec.EventType] {
				t.Errorf("%s: a second delivery of %s", file, spec.EventType)
			}
			seen[spec.EventType] = true
			info, err := payload.Check([]byte(spec.Payload))
			if err != nil {
				t.Errorf("%s: %v", file, err)
			}
			if info.EventType != spec.EventType {
				t.Errorf("%s: eventType %s, payload of %s", file, spec.EventType, info.EventType)
			}
			example := examples[spec.EventType]
			if want := example.body(t); spec.Payload != want {
				t.Errorf("%s: payload\n got %s\nwant %s", file, spec.Payload, want)
			}
			if delivery.Namespace != webhook.Namespace || spec.WebhookRef.Name != webhook.Name {
				t.Errorf("%s: goes to %s/%s, not to the example webhook", file, delivery.Namespace, spec.WebhookRef.Name)
			}
			if !match.Matches(webhook.Spec.Events, spec.EventType) {
				t.Errorf("%s: the example webhook does not want %s", file, spec.EventType)
			}
			id, err := ulid.ParseStrict(strings.TrimPrefix(spec.EventID, "evt_"))
			if err != nil {
				t.Errorf("%s: eventID %s: %v", file, spec.EventID, err)
			}
			if !id.Timestamp().Equal(example.Timestamp) {
				t.Errorf("%s: eventID speaks of %s, the event of %s", file, id.Timestamp().UTC(), example.Timestamp)
			}
		}
	}
	if len(seen) != len(examples) {
		t.Errorf("deliveries of %d types, want %d", len(seen), len(examples))
	}
}
