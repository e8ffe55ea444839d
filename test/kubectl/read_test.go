// SPDX-License-Identifier: Apache-2.0

//go:build kubectl

package kubectl

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// healthyAndFailing makes webhook good with a delivery that succeeded, and
// webhook bad with one that failed and one that waits for its second attempt.
func healthyAndFailing(t *testing.T, p *person) {
	t.Helper()
	p.url("bad", receiver.Step{Status: 500})
	p.url("slow", receiver.Step{Status: 503})
	p.must(t, p.webhook("good", nil).String(), "apply", "-f", "-")
	p.must(t, p.webhook("bad", nil).String(), "apply", "-f", "-")
	p.must(t, p.webhook("slow", object{"retryPolicy": object{"delays": []string{"10m"}}}).String(), "apply", "-f", "-")
	for _, name := range []string{"good", "bad", "slow"} {
		p.await(t, "wh/"+name, "condition=Ready")
		p.must(t, delivery("to-"+name, name, body).String(), "create", "-f", "-")
	}
	p.await(t, "whd/to-good", "condition=Succeeded")
	p.await(t, "whd/to-bad", "jsonpath={.status.state}=Failed")
	p.await(t, "whd/to-slow", "jsonpath={.status.state}=Retrying")
	p.await(t, "wh/bad", "jsonpath={.status.state}=Failing")
	// The status may be ahead of the cache that knows how the attempt failed.
	p.await(t, "wh/bad", `jsonpath={.status.conditions[?(@.type=="Ready")].message}=deliveries are signed and sent, but the endpoint does not take them, the latest with HTTPStatus 500`)
}

func getShows(t *testing.T, p *person) {
	healthyAndFailing(t, p)
	next := p.field(t, "whd/to-slow", "{.status.nextAttempt}")
	if _, err := time.Parse("2006-01-02T15:04:05Z", next); err != nil {
		t.Fatalf("the next time of a delivery that is being retried, to the second: %v", err)
	}
	tables := tablesOf(p.must(t, "", "get", "wh,whd", "-o", "wide"))
	if len(tables) != 2 {
		t.Fatalf("got %d tables, want webhooks and deliveries: %v", len(tables), tables)
	}
	wantRow(t, tables[0], "webhook.bbmcp.quietstack.com/good", map[string]string{
		"URL": p.url("good"), "STATE": "Active", "READY": "True", "EVENTS": `["context.*"]`,
		"HEALTHY": "True", "ENDPOINT": "Delivering", "STATUS": "deliveries are signed and sent",
	})
	wantRow(t, tables[0], "webhook.bbmcp.quietstack.com/bad", map[string]string{
		"URL": p.url("bad"), "STATE": "Failing", "READY": "True", "HEALTHY": "False", "ENDPOINT": "DeliveriesFailing",
		"STATUS": "deliveries are signed and sent, but the endpoint does not take them, the latest with HTTPStatus 500",
	})
	wantRow(t, tables[1], "webhookdelivery.bbmcp.quietstack.com/to-good", map[string]string{
		"WEBHOOK": "good", "EVENT": "context.created", "STATE": "Succeeded", "ATTEMPTS": "1", "CODE": "200",
		"NEXT": "", "EVENT-ID": "evt_to-good", "REASON": "Delivered", "ERROR": "",
	})
	wantRow(t, tables[1], "webhookdelivery.bbmcp.quietstack.com/to-bad", map[string]string{
		"WEBHOOK": "bad", "STATE": "Failed", "ATTEMPTS": "1", "CODE": "500", "NEXT": "", "REASON": "AttemptsExhausted",
	})
	wantRow(t, tables[1], "webhookdelivery.bbmcp.quietstack.com/to-slow", map[string]string{
		"WEBHOOK": "slow", "STATE": "Retrying", "ATTEMPTS": "1", "CODE": "503", "NEXT": next, "REASON": "RetryScheduled",
	})
	narrow := tablesOf(p.must(t, "", "get", "webhookdeliveries"))
	want := []string{"NAME", "WEBHOOK", "EVENT", "STATE", "ATTEMPTS", "CODE", "NEXT", "AGE"}
	if got := narrow[0].names(); !slices.Equal(got, want) {
		t.Errorf("columns of get webhookdeliveries: %v, want %v", got, want)
	}
	narrow = tablesOf(p.must(t, "", "get", "webhooks"))
	if got, want := narrow[0].names(), []string{"NAME", "URL", "STATE", "READY", "HEALTHY", "AGE"}; !slices.Equal(got, want) {
		t.Errorf("columns of get webhooks: %v, want %v", got, want)
	}
	types := p.must(t, "", "get", "evt")
	wantText(t, types, "context.created", "context.confirmed", "context.failed", "verification.completed", "True")
}

// table is what kubectl printed: where each column begins, and the rows.
type table struct {
	columns []column
	rows    []string
}

type column struct {
	name  string
	begin int
}

func tablesOf(text string) []table {
	var tables []table
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		lines := strings.Split(block, "\n")
		one := table{rows: lines[1:]}
		for i := range len(lines[0]) {
			if lines[0][i] != ' ' && (i == 0 || lines[0][i-1] == ' ') {
				name, _, _ := strings.Cut(lines[0][i:], " ")
				one.columns = append(one.columns, column{name: name, begin: i})
			}
		}
		tables = append(tables, one)
	}
	return tables
}

func (o table) names() []string {
	var names []string
	for _, c := range o.columns {
		names = append(names, c.name)
	}
	return names
}

// cell returns what stands in a row under a column.
func (o table) cell(row, name string) (string, bool) {
	for i, c := range o.columns {
		if c.name != name {
			continue
		}
		end := len(row)
		if i+1 < len(o.columns) {
			end = min(end, o.columns[i+1].begin)
		}
		return strings.TrimSpace(row[min(c.begin, end):end]), true
	}
	return "", false
}

func wantRow(t *testing.T, in table, name string, cells map[string]string) {
	t.Helper()
	for _, row := range in.rows {
		if got, _ := in.cell(row, "NAME"); got != name {
			continue
		}
		if strings.Contains(row, "<invalid>") || strings.Contains(row, "<unknown>") {
			t.Errorf("%s: a cell cannot be shown: %s", name, row)
		}
		for column, want := range cells {
			got, found := in.cell(row, column)
			if !found || got != want {
				t.Errorf("%s: column %s is %q, want %q (there: %t)", name, column, got, want, found)
			}
		}
		return
	}
	t.Errorf("there is no row %q in %v", name, in.rows)
}

func describeShows(t *testing.T, p *person) {
	healthyAndFailing(t, p)
	wantText(t, squeeze(p.must(t, "", "describe", "wh", "bad")),
		"Kind: Webhook", "Secret Name: bad-signing", "Webhook ID: wh_", "Reason: DeliveriesFailing",
		"kubectl get webhookdeliveries --field-selector spec.webhookRef.name=bad,status.state=Failed",
		"Events: Type Reason Age From Message", "Warning DeliveriesFailing")
	wantText(t, squeeze(p.must(t, "", "describe", "whd", "to-bad")),
		"Kind: WebhookDelivery", "Payload: "+body, "Attempt Log:", "Number: 1 Reason: HTTPStatus Response Status: 500",
		"Reason: AttemptsExhausted", "Error Message: the endpoint answered 500 Internal Server Error", "State: Failed")
	signing := p.field(t, "secret/bad-signing", "{.data.secret}")
	if text := p.must(t, "", "describe", "wh,whd"); strings.Contains(text, signing) || strings.Contains(text, "whsec_") {
		t.Error("describe shows a secret")
	}
}

func selectByState(t *testing.T, p *person) {
	healthyAndFailing(t, p)
	if got, want := p.must(t, "", "get", "wh", "--field-selector", "status.state=Failing", "-o", "name"), "webhook.bbmcp.quietstack.com/bad\n"; got != want {
		t.Errorf("webhooks that fail: got %q, want %q", got, want)
	}
	for selector, want := range map[string]string{
		"status.state=Failed":                                  "webhookdelivery.bbmcp.quietstack.com/to-bad\n",
		"status.state=Succeeded":                               "webhookdelivery.bbmcp.quietstack.com/to-good\n",
		"status.state!=Failed,status.state!=Succeeded":         "webhookdelivery.bbmcp.quietstack.com/to-slow\n",
		"spec.webhookRef.name=slow":                            "webhookdelivery.bbmcp.quietstack.com/to-slow\n",
		"spec.webhookRef.name=bad,status.state=Failed":         "webhookdelivery.bbmcp.quietstack.com/to-bad\n",
		"spec.webhookRef.name=good,status.state=Failed":        "",
		"spec.eventType=context.failed":                        "",
		"spec.eventType=context.created,status.state=Retrying": "webhookdelivery.bbmcp.quietstack.com/to-slow\n",
	} {
		if got := p.must(t, "", "get", "whd", "--field-selector", selector, "-o", "name"); got != want {
			t.Errorf("--field-selector %s: got %q, want %q", selector, got, want)
		}
	}
}

// payloadReadBack compares three: what the manifest says, what kubectl reads,
// what arrived.
func payloadReadBack(t *testing.T, p *person) {
	p.must(t, p.webhook("bytes", nil).String(), "apply", "-f", "-")
	p.await(t, "wh/bytes", "condition=Ready")
	encoded := p.field(t, "secret/bytes-signing", "{.data.secret}")
	var key []byte
	if err := json.Unmarshal([]byte(`"`+encoded+`"`), &key); err != nil {
		t.Fatal(err)
	}
	if err := p.receiver.Secrets(p.path("bytes"), string(key)); err != nil {
		t.Fatal(err)
	}
	payloads := map[string]string{
		"plain":  body,
		"odd":    `{"event":"context.created","timestamp":"2024-01-15T10:30:00.120Z","data":{"1":0,"b":"\u0001\b\\\"/ <b>&amp;</b> ` + "\u2028 \u2029 \u007f é 😀" + `","a":[1e+21,1e-7,0.1,-5,true,null,{}],"$(x)":"%s {.spec} \\n"}}`,
		"20-kib": `{"event":"context.created","timestamp":"2024-01-15T10:30:00Z","data":{"text":"` + strings.Repeat("0123456789 äöü ", 1200) + `"}}`,
		"large":  largest("x", 262144),
	}
	for name, payload := range payloads {
		p.must(t, delivery(name, "bytes", payload).String(), "create", "-f", "-")
	}
	for name, payload := range payloads {
		p.await(t, "whd/"+name, "condition=Succeeded")
		if got := p.field(t, "whd/"+name, "{.spec.payload}"); got != payload {
			t.Errorf("%s: kubectl reads %d bytes that differ from the %d written:\n%.300s\n%.300s", name, len(got), len(payload), got, payload)
		}
	}
	arrived := map[string]string{}
	for _, post := range p.receiver.Received(p.path("bytes")) {
		if !post.Verified() {
			t.Errorf("%s: a signature is wrong: ours %t, standard %t", post.EventID, post.Ours, post.Standard)
		}
		arrived[strings.TrimPrefix(post.EventID, "evt_")] = post.Body
	}
	for name, payload := range payloads {
		if arrived[name] != payload {
			t.Errorf("%s: what arrived differs from what was written: %d bytes, %d bytes", name, len(arrived[name]), len(payload))
		}
	}
}

// largest is a payload of so many bytes, filled with one character.
func largest(fill string, size int) string {
	const head, tail = `{"event":"context.created","timestamp":"2024-01-15T10:30:00Z","data":{"text":"`, `"}}`
	return head + strings.Repeat(fill, (size-len(head)-len(tail))/len(fill)) + tail
}
