// SPDX-License-Identifier: Apache-2.0

//go:build kubectl

package kubectl

import (
	"strings"
	"testing"
	"time"
)

// refusedAtOnce: what the API server itself can tell is told by kubectl.
func refusedAtOnce(t *testing.T, p *person) {
	big := largest("x", 300<<10)
	for name, mistake := range map[string]struct {
		manifest object
		says     []string
	}{
		"no url": {p.webhook("no-url", object{"url": nil}), []string{`Webhook "no-url" is invalid`, "spec.url: Required value"}},
		"an ftp url": {p.webhook("ftp", object{"url": "ftp://example.com/x"}),
			[]string{"spec.url: Invalid value", "must be an absolute https URL such as https://example.com/hooks"}},
		"a url without a host": {p.webhook("no-host", object{"url": "https:///x"}), []string{"must be an absolute https URL such as"}},
		"a fragment": {p.webhook("fragment", object{"url": "https://example.com/x#y"}),
			[]string{"must not have a fragment (#...): it would never be sent; remove it"}},
		"user info": {p.webhook("user", object{"url": "https://me:word@example.com/x"}),
			[]string{"must not have user info (user:password@): remove it, all who may read Webhooks see the url"}},
		"no events":     {p.webhook("no-events", object{"events": []string{}}), []string{"spec.events", "should have at least 1 items"}},
		"events absent": {p.webhook("absent", object{"events": nil}), []string{"spec.events: Required value"}},
		"a bad pattern": {p.webhook("pattern", object{"events": []string{"*.created"}}), []string{"spec.events[0]", "should match"}},
		"a bad delay": {p.webhook("delay", object{"retryPolicy": object{"delays": []string{"25h"}}}),
			[]string{"spec.retryPolicy.delays", "each delay must be a duration from 0s to 24h, such as 45s or 2m"}},
		"a long timeout": {p.webhook("timeout", object{"retryPolicy": object{"timeout": "1m"}}),
			[]string{"spec.retryPolicy.timeout", "must be a duration from 1s to 30s, such as 10s"}},
		"a misspelt field": {p.webhook("typo", object{"retrypolicy": object{}}), []string{"spec.retrypolicy"}},
		"300 KiB of ASCII": {delivery("ascii", "any", big),
			[]string{`WebhookDelivery "ascii" is invalid`, "spec.payload: Too long: may not be more than 262144 bytes"}},
		"a bad event id": {manifest("WebhookDelivery", "id", object{"webhookRef": object{"name": "x"}, "eventID": "a b", "eventType": "a", "payload": body}),
			[]string{"spec.eventID", "should match"}},
	} {
		for _, verb := range [][]string{{"create"}, {"apply"}, {"apply", "--server-side"}} {
			got := p.run(t, mistake.manifest.String(), append(verb, "-f", "-")...)
			if got.exit == 0 {
				t.Errorf("%s: kubectl %s took it: %s", name, strings.Join(verb, " "), got.stdout)
				continue
			}
			t.Run(name+", "+strings.Join(verb, " "), func(t *testing.T) { wantText(t, got.stderr, mistake.says...) })
		}
	}

	p.must(t, delivery("fixed", "none", body).String(), "create", "-f", "-")
	for field, value := range map[string]string{"payload": `"{}"`, "eventID": `"evt_other"`, "test": "true"} {
		got := p.run(t, "", "patch", "whd", "fixed", "--type=merge", "-p", `{"spec":{"`+field+`":`+value+`}}`)
		if got.exit == 0 {
			t.Errorf("spec.%s of a delivery could be changed", field)
		}
		wantText(t, got.stderr, "a delivery cannot be changed, its bytes may be signed and sent already; create a new WebhookDelivery instead")
	}
}

// shownOnDelivery: what only the controller can tell stands in the condition,
// at once, and nothing is ever sent.
func shownOnDelivery(t *testing.T, p *person) {
	p.must(t, p.webhook("hook", nil).String(), "apply", "-f", "-")
	p.await(t, "wh/hook", "condition=Ready")
	for name, mistake := range map[string]struct{ payload, reason, says string }{
		"four-byte":  {largest("😀", 300<<10), "PayloadInvalid", "262144 bytes"},
		"not-stable": {strings.Replace(body, `"ctx_1"`, "1.0", 1), "PayloadInvalid", "spec.payload: "},
		"other-type": {strings.Replace(body, "context.created", "context.failed", 1), "EventTypeMismatch",
			`spec.eventType is "context.created" and the payload's event is "context.failed"; create the delivery anew with one of them`},
		"no-json": {"hello", "PayloadInvalid", "spec.payload: "},
	} {
		p.must(t, delivery(name, "hook", mistake.payload).String(), "create", "-f", "-")
		p.await(t, "whd/"+name, "condition=Succeeded=False")
		if got := p.field(t, "whd/"+name, "{.status.state} {.status.attempts} {.status.conditions[0].reason}"); got != "Failed  "+mistake.reason {
			t.Errorf("%s: got %q, want Failed, no attempt, %s", name, got, mistake.reason)
		}
		message := p.field(t, "whd/"+name, "{.status.conditions[0].message}")
		t.Logf("%s: %s", name, message)
		wantText(t, message, mistake.says)
		wantText(t, p.field(t, "whd/"+name, "{.status.errorMessage}"), mistake.says)
	}
	p.must(t, delivery("orphan", "nobody", body).String(), "create", "-f", "-")
	p.await(t, "whd/orphan", "condition=Succeeded=Unknown")
	wantText(t, p.field(t, "whd/orphan", "{.status.state} {.status.conditions[0].reason}: {.status.conditions[0].message}"),
		`Pending WebhookNotFound: there is no Webhook "nobody" in this namespace; waiting an hour for it`)
	if posts := p.receiver.Counts(p.path("hook")).Posts; posts != 0 {
		t.Errorf("%d posts of deliveries that must never be signed", posts)
	}
}

// shownOnWebhook: a secret that cannot sign makes Ready False with a text.
func shownOnWebhook(t *testing.T, p *person) {
	const good = "0123456789abcdef0123"
	p.must(t, p.webhook("owner", nil).String(), "apply", "-f", "-")
	p.await(t, "wh/owner", "condition=Ready")
	for _, s := range []object{
		secret("unlabelled", object{}, good),
		secret("empty", labelled(), ""),
		secret("newline", labelled(), good+"\n"),
		secret("short", labelled(), "short"),
		secret("broken", labelled(), "whsec_not base64!"),
		secret("taken-signing", labelled(), good),
		{"apiVersion": "v1", "kind": "Secret", "metadata": object{"name": "other-key", "labels": labelled()}, "stringData": object{"token": good}},
	} {
		p.must(t, s.String(), "apply", "-f", "-")
	}
	for name, mistake := range map[string]struct{ secret, reason, says string }{
		"missing":    {"nowhere", "SecretNotFound", `there is no Secret "nowhere" that webhooks may sign with; create it with the key "secret" and the label bbmcp.quietstack.com/signing-secret: "true", or set that label if it exists`},
		"key":        {"other-key", "SecretNotFound", `Secret "other-key" has no key "secret"; add it`},
		"unlabelled": {"unlabelled", "SecretNotFound", `there is no Secret "unlabelled" that webhooks may sign with; create it with the key "secret" and the label bbmcp.quietstack.com/signing-secret: "true", or set that label if it exists`},
		"foreign":    {"owner-signing", "SecretNotPermitted", `Secret "owner-signing" belongs to Webhook "owner"; set spec.signing.secretRef to a Secret of your own`},
		"taken":      {"", "SecretNotPermitted", `Secret "taken-signing" exists and was not made for this Webhook; to have it taken over, give it the labels bbmcp.quietstack.com/signing-secret: "true" and bbmcp.quietstack.com/webhook: "taken"; or delete it, which loses what it holds`},
		"empty":      {"empty", "SecretInvalid", `Secret "empty", key "secret": `},
		"newline":    {"newline", "SecretInvalid", `Secret "newline", key "secret": `},
		"short":      {"short", "SecretInvalid", `Secret "short", key "secret": `},
		"broken":     {"broken", "SecretInvalid", `Secret "broken", key "secret": `},
	} {
		hook := p.webhook(name, nil)
		if mistake.secret != "" {
			hook = p.webhook(name, object{"signing": object{"secretRef": object{"name": mistake.secret}}})
		}
		p.must(t, hook.String(), "apply", "-f", "-")
		began := time.Now()
		p.await(t, "wh/"+name, "condition=Ready=False")
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("%s: Ready became False only after %s", name, took)
		}
		got := p.field(t, "wh/"+name, `{.status.conditions[?(@.type=="Ready")].reason}: {.status.conditions[?(@.type=="Ready")].message}`)
		t.Logf("%s: %s", name, got)
		wantText(t, got, mistake.reason+": "+mistake.says)
		if strings.Contains(got, good) {
			t.Errorf("%s: the message shows the secret", name)
		}
	}
}

// secretComesLater: order of apply does not matter.
func secretComesLater(t *testing.T, p *person) {
	hook := p.webhook("early", object{"signing": object{"secretRef": object{"name": "late"}}})
	p.must(t, hook.String(), "apply", "-f", "-")
	p.must(t, delivery("waits", "early", body).String(), "create", "-f", "-")
	p.await(t, "wh/early", "condition=Ready=False")
	p.await(t, "whd/waits", "condition=Succeeded=Unknown")
	wantText(t, p.field(t, "whd/waits", "{.status.conditions[0].reason}: {.status.conditions[0].message}"), `SigningSecretUnavailable: there is no Secret "late" that webhooks may sign with; create it`)

	const value = "it was late but it came"
	if err := p.receiver.Secrets(p.path("early"), value); err != nil {
		t.Fatal(err)
	}
	p.must(t, secret("late", labelled(), value).String(), "apply", "-f", "-")
	began := time.Now()
	p.await(t, "wh/early", "condition=Ready")
	p.await(t, "whd/waits", "condition=Succeeded")
	took := time.Since(began)
	t.Logf("the webhook worked %.1f s after its secret came", took.Seconds())
	if took > 20*time.Second {
		t.Errorf("it took %s, more than 20s", took)
	}
	if counts := p.receiver.Counts(p.path("early")); counts.Posts != 1 || counts.Verified != 1 {
		t.Errorf("got %+v, want one post, verified", counts)
	}
}
