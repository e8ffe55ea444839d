// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/gateway/publish"
	"bbmcp.quietstack.com/webhooks/internal/payload"
	"bbmcp.quietstack.com/webhooks/test/cost"
)

// listed repeats text with a number in it.
func listed(format string, n int) string {
	items := make([]string, n)
	for i := range items {
		items[i] = fmt.Sprintf(format, i)
	}
	return strings.Join(items, ",")
}

// events are bodies that carry events, in every form, and much of everything.
func events() []string {
	return []string{
		`{"event":"context.created","data":{"a":1},"id":"x","timestamp":"2024-01-15T10:30:00Z"}`,
		`{"specversion":"1.0","id":"a","source":"/x","type":"a","time":"2024-01-15T10:30:00Z","data":{"n":1e-1000000},"traceparent":"00-1"}`,
		`{"specversion":"1.0","id":"a","source":"/x","type":"a",` + listed(`"x%d":"y"`, 5_000) + `}`,
		`{"specversion":"1.0","id":"a","source":"` + strings.Repeat("/", 50_000) + `","type":"a"}`,
		`{"specversion":"1.0","id":"a","source":"/` + strings.Repeat("%zz", 5_000) + `","type":"a"}`,
		`{"specversion":"1.0","id":"a","source":"/x","type":"a","datacontenttype":"application/json;` + strings.Repeat("a=b;", 5_000) + `"}`,
		`{"specversion":"1.0","id":"a","source":"/x","type":"a","ext":` + strings.Repeat("1", 50_000) + `}`,
		`{"specversion":"1.0","id":"a","source":"/x","type":"a","dataschema":"` + strings.Repeat("a:", 20_000) + `"}`,
		`{"event":"` + strings.Repeat("a", 50_000) + `","data":{}}`, `{"event":"a","data":{},"timestamp":"` + strings.Repeat("1", 50_000) + `"}`,
		`{` + listed(`"%d":{}`, 5_000) + `}`, "[" + listed(`{"specversion":"1.0","id":"%d","source":"/x","type":"a"}`, 101) + "]",
		`{"event":"a","data":` + strings.Repeat("[", 5_000), `{"` + strings.Repeat(`\u0000`, 5_000) + `":1}`,
	}
}

// A body with an event costs time and memory in proportion to its length, and
// what is found wrong with it is told in few bytes.
func FuzzEvent(f *testing.F) {
	for _, seed := range events() {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, parse := range []func([]byte) (*publish.Event, error){parseJSONEvent, parseCloudEvent} {
			var p *publish.Event
			var err error
			cost.Linear.Within(t, len(body), func() { p, err = parse(body) })
			if err == nil {
				cost.Linear.Within(t, len(body), func() { _, err = payload.Build(p.Type, time.Unix(0, 0), p.Data) })
			}
			checkProblemSize(t, err, nil)
		}
		cost.Linear.Within(t, len(body), func() {
			items, err := payload.Items(body, wholeBody, maxBatchItems)
			checkProblemSize(t, err, nil)
			for _, item := range items {
				_, err := parseCloudEvent(item)
				checkProblemSize(t, err, nil)
			}
		})
	})
}

// checkProblemSize fails if a problem is longer than a person reads.
func checkProblemSize(t *testing.T, err error, fields map[string]string) {
	t.Helper()
	const most = 1024
	if err == nil {
		return
	}
	text, marshalled := json.Marshal(problemFromPayload(err, fields))
	if marshalled != nil || len(text) > most {
		t.Errorf("a problem of %d bytes: %.300s, %v", len(text), text, marshalled)
	}
}

// Headers cost time and memory in proportion to their length, which the server
// bounds.
func FuzzHeaders(f *testing.F) {
	many := func(text string) string { return strings.Repeat(text, 60_000/len(text)) }
	for _, seed := range [][2]string{
		{"Prefer", "wait=10, respond-async; x=y"}, {"Prefer", many("wait=1,")}, {"Prefer", "wait=" + many("9")}, {"If-Match", `"a", *`}, {"If-Match", many(`"a",`)},
		{"Idempotency-Key", many("k")}, {"Content-Type", "application/cloudevents+json; charset=utf-8"}, {"Content-Type", "application/json;" + many("a=b;")},
		{"Content-Type", "a/b;" + many(`x*0*="%25`)}, {"Ce-Id", many("%41")}, {"Ce-Id", many("%")}, {"Ce-Source", many("/..")}, {"Ce-Time", many("1")}, {"Ce-X", many("ü")},
		{"Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}, {"Traceparent", many("0")}, {"X-Request-Id", many("a")}, {"Authorization", "Bearer " + many("a.")},
	} {
		f.Add(seed[0], seed[1])
	}
	webhook := &v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Name: "orders", UID: "orders"}, Spec: v1alpha1.WebhookSpec{URL: "https://example.com/"}}
	f.Fuzz(func(t *testing.T, name, value string) {
		size := len(name) + len(value)
		header := http.Header{"Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Source": {"/x"}, "Ce-Type": {"a"}}
		header.Set(name, value)
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/v1/events", http.NoBody)
		request.Header = header
		cost.Linear.Within(t, size, func() {
			_, err := parseBinaryCloudEvent(header, []byte("{}"))
			checkProblemSize(t, err, nil)
		})
		cost.Linear.Within(t, size, func() { _ = parsePrefer(header, time.Second) })
		cost.Linear.Within(t, size, func() { _ = (Precondition{IfMatch: header.Get("If-Match")}).holds(webhook) })
		cost.Linear.Within(t, size, func() {
			in := &PublishRequest{request: request}
			_, err := in.detectFormat()
			checkProblemSize(t, err, nil)
			p := &publish.Event{}
			checkProblemSize(t, applyIdempotencyKey(p, header), nil)
			applyTraceParent(p, header)
			checkProblemSize(t, in.refuseIdempotencyKey(), nil)
			_ = isRequestID(header.Get(requestIDHeader))
		})
	})
}

func TestProblemIsBounded(t *testing.T) {
	var wrong []error
	for i := range 2_000 {
		wrong = append(wrong, &huma.ErrorDetail{Location: fmt.Sprintf("body.m%d%s", i, strings.Repeat("x", i)), Message: strings.Repeat("y", i)})
	}
	p := problemFromHuma(nil, http.StatusUnprocessableEntity, "validation failed", wrong...)
	problem, ok := p.(*problem)
	if !ok || len(problem.Errors) != maxProblemFields || problem.Errors[0].Field != "m0" || problem.Detail != "m0: " {
		t.Fatalf("got %.300v", p)
	}
	if text, err := json.Marshal(problem); err != nil || len(text) > 16<<10 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

// A cursor that is not ours is refused; one that is leads on.
func FuzzCursor(f *testing.F) {
	ours := *encodeCursor("deliveries/a", deliveryPosition{Created: 1, Name: "dlv-x"})
	for _, seed := range []string{ours, ours[1:], ours + "=", "", strings.Repeat("A", 1024), "AAAAAAAAAAA", "e30"} {
		f.Add("deliveries/a", seed)
	}
	f.Fuzz(func(t *testing.T, list, cursor string) {
		var position deliveryPosition
		cost.Linear.Within(t, len(list)+len(cursor), func() {
			err := decodeCursor(list, cursor, &position)
			checkProblemSize(t, err, nil)
			if err == nil && *encodeCursor(list, position) != cursor {
				t.Errorf("%q is taken for %+v", cursor, position)
			}
		})
	})
}

// Bodies of the other operations are decoded as huma does, twice: as anything,
// which is checked against the document, and as what they are.
func FuzzBody(f *testing.F) {
	for _, seed := range []string{
		`{"url":"https://example.com","events":["*"]}`, `{"url":1e-1000000,"events":[` + listed(`"a%d"`, 5_000) + `]}`, `{"events":` + strings.Repeat("[", 9_000),
		`{` + listed(`"%d":1`, 5_000) + `}`, `{"event":"a","data":{"n":1` + strings.Repeat("0", 50_000) + `e-50000}}`, `{"url":"` + strings.Repeat("\xff", 1000) + `"}`,
		`{"url":"a","url":"b"}`, `[` + strings.Repeat(`[],`, 5_000) + `[]]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		cost.Linear.Within(t, len(body), func() {
			var anything any
			_ = jsonFormat.Unmarshal(body, &anything)
		})
		for _, into := range []any{&rest.WebhookCreate{}, &rest.WebhookUpdate{}, &rest.WebhookTest{}} {
			cost.Linear.Within(t, len(body), func() { _ = jsonFormat.Unmarshal(body, into) })
		}
	})
}
