// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/gateway/publish"
	"bbmcp.quietstack.com/webhooks/internal/payload"
	"bbmcp.quietstack.com/webhooks/internal/tracing"
)

// eventSeeds are bodies of publishes, in any form.
var eventSeeds = []string{
	`{"event":"context.created","data":{},"timestamp":"2024-01-15T10:30:00Z","id":"e1"}`,
	`{"event":"context.created","data":{"a":[1.0,{"10":1,"9":2}]}}`, `{"event":"a","data":[],"x":1}`, `{"event":"a","event":"b"}`,
	`{"\u0065vent":"a","data":{"s":"\ud800"}}`, "{\"event\":\"a\xff\"}", `[]`, ``, `{"event":"a","data":{}} {}`, `{"id":"\r\n"}`,
	`{"specversion":"1.0","id":"1","source":"/a","type":"a","data":{}}`,
	`{"specversion":"1.0","id":"1","source":"/a","type":"a","time":"2024-01-15T10:30:00Z","ext":1,"flag":true,"unset":null,"datacontenttype":"application/json"}`,
	`{"specversion":"1.0","id":"1","source":"%","type":"a"}`, `{"specversion":"1.0","id":"1","source":"/a","type":"a","data_base64":"e30="}`,
	`{"specversion":"1.0","id":"1","source":"/a","type":"a","":1,"A":2,"dataschema":"x"}`,
}

func FuzzParseJSONEvent(f *testing.F) {
	for _, seed := range eventSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		before := bytes.Clone(body)
		p, err := parseJSONEvent(body)
		if !bytes.Equal(before, body) {
			t.Fatalf("changed its input %q to %q", before, body)
		}
		expectParsedEvent(t, p, err)
	})
}

func FuzzParseCloudEvent(f *testing.F) {
	for _, seed := range eventSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := parseCloudEvent(body)
		expectParsedEvent(t, p, err)
		if err == nil && !strings.HasPrefix(p.ID, "ce_") {
			t.Fatalf("the id is %q", p.ID)
		}
	})
}

func FuzzParseBinaryCloudEvent(f *testing.F) {
	f.Add("1.0", "1", "/a", "context.created", "2024-01-15T10:30:00Z", "application/json", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", []byte("{}"))
	f.Add("0.3", "%C3%BC", "%", "a", "", "text/plain", "x", []byte(nil))
	f.Fuzz(func(t *testing.T, version, id, source, kind, when, contentType, extension string, body []byte) {
		p, err := parseBinaryCloudEvent(http.Header{
			"Ce-Specversion": {version}, "Ce-Id": {id}, "Ce-Source": {source}, "Ce-Type": {kind}, "Ce-Time": {when},
			"Content-Type": {contentType}, "Ce-Traceparent": {extension},
		}, body)
		expectParsedEvent(t, p, err)
	})
}

// expectParsedEvent holds what was read, or why not, against what the rest of
// the gateway relies on.
func expectParsedEvent(t *testing.T, p *publish.Event, err error) {
	t.Helper()
	if err != nil {
		found, ok := errors.AsType[*payload.Error](err)
		if !ok || found.Field == "" || found.Detail == "" || found.Reason == "" {
			t.Fatalf("the error %T %+v", err, err)
		}
		problem, ok := errors.AsType[*problem](problemFromPayload(err, nil))
		if !ok || problem.Status < 400 || problem.Status > 499 {
			t.Fatalf("the problem %+v", problem)
		}
		return
	}
	if p.ID != "" && payload.ValidateEventID(p.ID) != nil || payload.ValidateEventType(p.Type) != nil {
		t.Fatalf("accepted id %q, type %q", p.ID, p.Type)
	}
	if p.TraceParent != "" && !tracing.IsTraceParent(p.TraceParent) {
		t.Fatalf("accepted trace %q", p.TraceParent)
	}
	when := time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)
	if p.Timestamp != nil {
		when = *p.Timestamp
	}
	built, err := payload.Build(p.Type, when, p.Data)
	if err != nil {
		return
	}
	if _, err := payload.Check(built); err != nil {
		t.Fatalf("made %q: %v", built, err)
	}
}
