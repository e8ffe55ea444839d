// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"testing"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/catalogue"
	"bbmcp.quietstack.com/webhooks/internal/payload"
)

// catalogueFiles are the EventTypes that ship with the product, by type.
func catalogueFiles(t *testing.T) map[string]v1alpha1.EventType {
	t.Helper()
	all := map[string]v1alpha1.EventType{}
	for _, file := range glob(t, "config/eventtypes/*.*.yaml") {
		for _, object := range load[v1alpha1.EventType](t, file) {
			all[object.Name] = object
		}
	}
	return all
}

func TestCatalogueHoldsTheExampleEvents(t *testing.T) {
	files := catalogueFiles(t)
	examples := events(t)
	if len(files) != len(examples) {
		t.Errorf("%d EventTypes for %d example events", len(files), len(examples))
	}
	for name, example := range examples {
		object, ok := files[name]
		if !ok {
			t.Errorf("no EventType %s", name)
			continue
		}
		if err := catalogue.Check(object.Spec.Schema, object.Spec.Example); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		got, err := payload.Build(name, example.Timestamp, []byte(object.Spec.Example))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if want := example.body(t); string(got) != want {
			t.Errorf("example of %s differs from the example event:\n got %s\nwant %s", name, got, want)
		}
	}
}

func TestSchemas(t *testing.T) {
	for _, c := range []struct {
		name, eventType, data string
		valid                 bool
	}{
		{"a member that is not known yet is accepted", "context.failed",
			`{"context_id":"c","agent_id":"a","status":"failed","error":{"code":"E","message":"m","hint":1},"shard":7}`, true},
		{"a context without its id is refused", "context.failed",
			`{"agent_id":"a","status":"failed","error":{"code":"E","message":"m"}}`, false},
		{"an error without a code is refused", "context.failed",
			`{"context_id":"c","agent_id":"a","status":"failed","error":{"message":"m"}}`, false},
		{"the status of another type is refused", "context.created",
			`{"context_id":"c","agent_id":"a","transaction_hash":"0x1","context_hash":"0x2","status":"confirmed"}`, false},
		{"a confirmation without a block is refused", "context.confirmed",
			`{"context_id":"c","agent_id":"a","transaction_hash":"0x1","context_hash":"0x2","status":"confirmed","confirmations":1}`, false},
		{"a time that is none is refused", "context.created",
			`{"context_id":"c","agent_id":"a","transaction_hash":"0x1","context_hash":"0x2","status":"pending","created_at":"yesterday"}`, false},
		{"a verification that failed is an event like any other", "verification.completed",
			`{"verification_id":"v","transaction_hash":"0x1","verified":false}`, true},
		{"a result that is no truth value is refused", "verification.completed",
			`{"verification_id":"v","transaction_hash":"0x1","verified":"yes"}`, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			schema, err := catalogue.Compile(catalogueFiles(t)[c.eventType].Spec.Schema)
			if err != nil {
				t.Fatal(err)
			}
			if err := schema.Validate(t.Context(), []byte(c.data)); (err == nil) != c.valid {
				t.Errorf("valid = %v, want %v: %v", err == nil, c.valid, err)
			}
		})
	}
}
