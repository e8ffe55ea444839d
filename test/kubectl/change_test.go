// SPDX-License-Identifier: Apache-2.0

//go:build kubectl

package kubectl

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

// appliesQuietly: nothing that the controller or a default writes comes back to
// the author as a change or a conflict.
func appliesQuietly(t *testing.T, p *person) {
	hook := p.webhook("quiet", object{"retryPolicy": nil, "description": "as it was"})
	object := "webhook.bbmcp.quietstack.com/quiet"
	wantOutput(t, p.must(t, hook.String(), "apply", "-f", "-"), object+" created\n")
	p.await(t, "wh/quiet", "condition=Ready")
	wantOutput(t, p.must(t, hook.String(), "apply", "-f", "-"), object+" unchanged\n")
	if got := p.run(t, hook.String(), "diff", "-f", "-"); got.exit != 0 || got.stdout != "" {
		t.Errorf("kubectl diff sees a change where none is:\n%s%s", got.stdout, got.stderr)
	}
	edited := p.runWith(t, []string{"KUBE_EDITOR=sed -i s/as.it.was/as_it_is/"}, "", "edit", "wh", "quiet")
	if edited.exit != 0 {
		t.Fatalf("kubectl edit: %s%s", edited.stdout, edited.stderr)
	}
	if got := p.field(t, "wh/quiet", "{.spec.description}"); got != "as_it_is" {
		t.Errorf("after kubectl edit: description %q", got)
	}
	wantOutput(t, p.must(t, hook.String(), "apply", "-f", "-"), object+" configured\n")

	server := p.webhook("server", nil)
	p.must(t, server.String(), "apply", "--server-side", "-f", "-")
	p.must(t, delivery("through-server", "server", body).String(), "apply", "--server-side", "-f", "-")
	p.await(t, "wh/server", "condition=Ready")
	p.await(t, "whd/through-server", "condition=Succeeded")
	for _, again := range []string{server.String(), delivery("through-server", "server", body).String()} {
		if got := p.run(t, again, "apply", "--server-side", "-f", "-"); got.exit != 0 || got.stderr != "" {
			t.Errorf("server-side apply once more: %s%s", got.stdout, got.stderr)
		}
	}
	version := p.field(t, "wh/server", "{.metadata.resourceVersion} {.metadata.generation}")
	p.must(t, server.String(), "apply", "--server-side", "-f", "-")
	if got := p.field(t, "wh/server", "{.metadata.resourceVersion} {.metadata.generation}"); got != version {
		t.Errorf("server-side apply of the same wrote: %s, then %s", version, got)
	}
	owners := p.field(t, "wh/server", `{range .metadata.managedFields[*]}{.manager}:{.subresource} {end}`)
	if want := "kubectl: bbmcp-webhooks:status "; owners != want {
		t.Errorf("managers of fields: %q, want %q", owners, want)
	}
}

// deletesAll: the garbage collector finds all that belongs to a webhook, what
// was applied by hand included.
func deletesAll(t *testing.T, p *person) {
	p.url("gone", receiver.Step{Status: 500})
	p.must(t, p.webhook("gone", nil).String(), "apply", "-f", "-")
	p.must(t, p.webhook("stays", nil).String(), "apply", "-f", "-")
	p.await(t, "wh/gone", "condition=Ready")
	p.await(t, "wh/stays", "condition=Ready")
	p.must(t, delivery("gone-failed", "gone", body).String(), "apply", "-f", "-")
	p.must(t, delivery("stays", "stays", body).String(), "apply", "-f", "-")
	p.await(t, "whd/gone-failed", "condition=Succeeded=False")
	p.await(t, "whd/stays", "condition=Succeeded")
	p.must(t, "", "delete", "webhook", "gone", "--timeout=10s")
	for _, object := range []string{"secret/gone-signing", "whd/gone-failed"} {
		if got := p.run(t, "", "wait", object, "--for=delete", "--timeout="+patience.String()); got.exit != 0 {
			t.Errorf("%s stayed: %s", object, got.stderr)
		}
	}
	wantOutput(t, p.must(t, "", "get", "wh,whd", "-o", "name"),
		"webhook.bbmcp.quietstack.com/stays\nwebhookdelivery.bbmcp.quietstack.com/stays\n")
	p.must(t, "", "get", "secret", "stays-signing")
}

// retriesByHand: one annotation, one attempt.
func retriesByHand(t *testing.T, p *person) {
	p.url("hand", receiver.Step{Status: 500, Times: 3}, receiver.Step{Status: 200})
	p.must(t, p.webhook("hand", nil).String(), "apply", "-f", "-")
	p.must(t, delivery("by-hand", "hand", body).String(), "create", "-f", "-")
	p.await(t, "whd/by-hand", "jsonpath={.status.state}=Failed")
	for number := 2; number <= 3; number++ {
		p.retry(t, "by-hand", number)
		p.await(t, "whd/by-hand", fmt.Sprintf("jsonpath={.status.attempts}=%d", number))
		if got := p.field(t, "whd/by-hand", "{.status.state}"); got != "Failed" {
			t.Errorf("after attempt %d: %s, want Failed", number, got)
		}
	}
	p.retry(t, "by-hand", 4)
	p.await(t, "whd/by-hand", "condition=Succeeded")
	p.must(t, "", "annotate", "whd", "by-hand", "--overwrite", "bbmcp.quietstack.com/retry-requested-at=again")
	p.wantPosts(t, "hand", "1", "2", "3", "4")

	p.url("forward", receiver.Step{Status: 500}, receiver.Step{Status: 200})
	p.must(t, p.webhook("forward", object{"retryPolicy": object{"delays": []string{"1h"}}}).String(), "apply", "-f", "-")
	p.must(t, delivery("forward", "forward", body).String(), "create", "-f", "-")
	p.await(t, "whd/forward", "jsonpath={.status.state}=Retrying")
	p.retry(t, "forward", 2)
	p.await(t, "whd/forward", "condition=Succeeded")
	p.wantPosts(t, "forward", "1", "2")

	p.url("held", receiver.Step{Status: 500})
	p.must(t, p.webhook("held", nil).String(), "apply", "-f", "-")
	p.must(t, delivery("held", "held", body).String(), "create", "-f", "-")
	p.await(t, "whd/held", "jsonpath={.status.state}=Failed")
	p.must(t, "", "patch", "wh", "held", "--type=merge", "-p", `{"spec":{"suspend":true}}`)
	p.await(t, "wh/held", `jsonpath={.status.conditions[?(@.type=="Ready")].reason}=Suspended`)
	p.retry(t, "held", 2)
	p.await(t, "whd/held", "jsonpath={.status.errorMessage}=retry refused: the webhook is suspended; resume it and ask again")
	p.wantPosts(t, "held", "1")
}

// retriesAfterRestart: what failed before a restart can be retried after it, and
// so can what was asked for while no manager ran.
func retriesAfterRestart(t *testing.T, p *person) {
	large := largest("x", 40<<10) // not kept in memory: read when it is sent
	p.url("again", receiver.Step{Status: 500})
	p.must(t, p.webhook("again", nil).String(), "apply", "-f", "-")
	p.must(t, delivery("after", "again", body).String(), "create", "-f", "-")
	p.must(t, delivery("meanwhile", "again", large).String(), "create", "-f", "-")
	p.await(t, "whd/after", "jsonpath={.status.state}=Failed")
	p.await(t, "whd/meanwhile", "jsonpath={.status.state}=Failed")

	p.manager.Stop()
	p.receiver.Script(p.path("again"), receiver.Step{Status: 204})
	p.retry(t, "meanwhile", 2)
	began := time.Now()
	manager, err := p.stack.StartManager(t.Context(), stack.ManagerOptions{Supervise: true})
	if err != nil {
		t.Fatal(err)
	}
	p.manager = manager
	p.await(t, "whd/meanwhile", "condition=Succeeded")
	t.Logf("asked for while no manager ran: delivered %.1f s after the start of the next", time.Since(began).Seconds())
	p.retry(t, "after", 2)
	p.await(t, "whd/after", "condition=Succeeded")
	for _, name := range []string{"after", "meanwhile"} {
		if got := p.field(t, "whd/"+name, "{.status.attempts} {.status.responseStatus}"); got != "2 204" {
			t.Errorf("%s: attempts and code are %q, want 2 204", name, got)
		}
	}
	p.wantPosts(t, "again", "1", "1", "2", "2")
	for _, post := range p.receiver.Received(p.path("again")) {
		if post.EventID == "evt_meanwhile" && post.Body != large {
			t.Errorf("attempt %s carried %d bytes, want the %d written", post.Attempt, len(post.Body), len(large))
		}
	}
}

// retry asks for an attempt as the documentation says.
func (p *person) retry(t *testing.T, delivery string, number int) {
	t.Helper()
	p.must(t, "", "annotate", "whd", delivery, "--overwrite",
		fmt.Sprintf("bbmcp.quietstack.com/retry-requested-at=2024-01-15T10:30:%02dZ", number))
}

// wantPosts compares the attempt numbers that arrived at an endpoint.
func (p *person) wantPosts(t *testing.T, name string, numbers ...string) {
	t.Helper()
	var got []string
	for _, post := range p.receiver.Received(p.path(name)) {
		got = append(got, post.Attempt)
	}
	if strings.Join(got, " ") != strings.Join(numbers, " ") {
		t.Errorf("attempts that arrived at %s: %v, want %v", name, got, numbers)
	}
}

func wantOutput(t *testing.T, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("kubectl printed %q, want %q", got, want)
	}
}
