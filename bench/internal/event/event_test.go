// SPDX-License-Identifier: Apache-2.0

package event

import (
	"encoding/json"
	"os"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/catalogue"
	"bbmcp.quietstack.com/webhooks/internal/payload"
)

func TestPayloadIsAsLargeAsAskedFor(t *testing.T) {
	for _, c := range []struct {
		name       string
		bytes, got int
	}{
		{"one KiB", 1 << 10, 1 << 10},
		{"the largest", 256 << 10, 256 << 10},
		{"less than the least is the least", 1, len(New("context.created", 0).Payload(Mark{}))},
	} {
		if got := len(New("context.created", c.bytes).Payload(Mark{Sent: time.Now()})); got != c.got {
			t.Errorf("%s: %d bytes, want %d", c.name, got, c.got)
		}
	}
}

func TestMarkComesBackFromTheBodyThatTheGatewayBuilds(t *testing.T) {
	mark := Mark{Run: 42, Number: 1234567, Sent: time.Unix(0, 1732448812345678901)}
	published := New("context.created", 1<<10).Render([]byte("before"), mark)[len("before"):]
	var event struct {
		Event string          `json:"event"`
		Data  json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(published, &event); err != nil {
		t.Fatal(err)
	}
	body, err := payload.Build(event.Event, time.Date(2024, 1, 15, 10, 30, 0, 123e6, time.UTC), event.Data)
	if err != nil {
		t.Fatal(err)
	}
	if want := New("context.created", 1<<10).Payload(mark); string(body) != want {
		t.Errorf("the gateway builds\n%s, not\n%s", body, want)
	}
	got, err := FindMark(body)
	if err != nil {
		t.Fatal(err)
	}
	if got.Run != mark.Run || got.Number != mark.Number || !got.Sent.Equal(mark.Sent) {
		t.Errorf("got %+v, want %+v", got, mark)
	}
}

func TestDataFitsTheSchemaThatIsShipped(t *testing.T) {
	text, err := os.ReadFile("../../../config/eventtypes/context.created.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var kind v1alpha1.EventType
	if err := yaml.Unmarshal(text, &kind); err != nil {
		t.Fatal(err)
	}
	schema, err := catalogue.Compile(kind.Spec.Schema)
	if err != nil {
		t.Fatal(err)
	}
	var event struct {
		Data json.RawMessage `json:"data"`
	}
	if err := json.Unmarshal(New("context.created", 1<<10).Render(nil, Mark{}), &event); err != nil {
		t.Fatal(err)
	}
	if err := schema.Validate(t.Context(), event.Data); err != nil {
		t.Error(err)
	}
}

func TestBodiesWithoutAMarkAreTold(t *testing.T) {
	for _, body := range []string{"", `{"event":"x"}`, `{"context_id":"short"}`, `{"context_id":"aaaa-bbbbbbbbbb-ccccccccccccccccccc"}`} {
		if mark, err := FindMark([]byte(body)); err == nil {
			t.Errorf("%s: found %+v", body, mark)
		}
	}
}
