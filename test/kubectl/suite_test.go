// SPDX-License-Identifier: Apache-2.0

//go:build kubectl

package kubectl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/controlplane"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

// patience is how long a change that the controller makes may take to show.
const patience = 30 * time.Second

// TestKubectl runs every check against one control plane; those of the group
// run at the same time, each in a namespace of its own. The last one restarts
// the manager and so must be alone.
func TestKubectl(t *testing.T) {
	p := start(t)
	t.Run("together", func(t *testing.T) {
		for name, check := range map[string]func(*testing.T, *person){
			"get shows what it is doing and when next":               getShows,
			"describe shows conditions, attempts and events":         describeShows,
			"deliveries are selected by state":                       selectByState,
			"explain describes every field":                          explainEverything,
			"a payload is read back as it was sent":                  payloadReadBack,
			"a manifest with a mistake is refused":                   refusedAtOnce,
			"a delivery that must not be signed says why":            shownOnDelivery,
			"a secret with a mistake shows in Ready":                 shownOnWebhook,
			"a webhook starts working when its secret comes":         secretComesLater,
			"apply, diff, edit and server-side apply leave no noise": appliesQuietly,
			"delete removes the secret and the deliveries":           deletesAll,
			"annotate retries by hand":                               retriesByHand,
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				check(t, p.in(t, p.namespaces.Add(1)))
			})
		}
	})
	t.Run("annotate retries by hand after the manager restarted", func(t *testing.T) {
		retriesAfterRestart(t, p.in(t, p.namespaces.Add(1)))
	})
}

// person works with kubectl in one namespace.
type person struct {
	*cluster
	namespace string
}

// cluster is what all checks share.
type cluster struct {
	kubectl    string
	env        []string
	stack      *stack.Stack
	manager    *stack.Manager
	receiver   *receiver.Receiver
	namespaces *atomic.Int64
}

func start(t *testing.T) *person {
	t.Helper()
	path, err := exec.LookPath("kubectl")
	if err != nil {
		t.Fatal("kubectl is not on the PATH: this check runs it against the product and can prove nothing without it; install kubectl and run again")
	}
	began := time.Now()
	s, err := stack.Start(t.Context(), stack.Options{
		ControlPlane: controlplane.Options{UnsafeNoFsync: true},
		Progress:     func(text string) { t.Logf("%5.1fs %s", time.Since(began).Seconds(), text) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	r, err := receiver.Start(receiver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	m, err := s.StartManager(t.Context(), stack.ManagerOptions{Supervise: true})
	if err != nil {
		t.Fatal(err)
	}
	home := t.TempDir() // kubectl keeps what it discovered there
	return &person{cluster: &cluster{
		kubectl: path, stack: s, manager: m, receiver: r, namespaces: new(atomic.Int64),
		env: []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "KUBECONFIG=" + s.ControlPlane.Kubeconfig(), "TZ=UTC"},
	}}
}

// in returns a person in a namespace that is made for the test.
func (p *person) in(t *testing.T, number int64) *person {
	t.Helper()
	q := &person{cluster: p.cluster, namespace: fmt.Sprintf("check-%d", number)}
	q.must(t, "", "create", "namespace", q.namespace)
	return q
}

// url is an endpoint of the test's own, answered by the script.
func (p *person) url(name string, steps ...receiver.Step) string {
	if len(steps) > 0 {
		p.receiver.Script(p.path(name), steps...)
	}
	return p.receiver.URL(p.path(name))
}

func (p *person) path(name string) string { return "/" + p.namespace + "/" + name }

// answer is what a run of kubectl printed.
type answer struct {
	stdout, stderr string
	exit           int
}

// run runs kubectl with a manifest as its input.
func (p *person) run(t *testing.T, stdin string, args ...string) answer {
	t.Helper()
	return p.runWith(t, nil, stdin, args...)
}

func (p *person) runWith(t *testing.T, env []string, stdin string, args ...string) answer {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience+10*time.Second)
	defer cancel()
	command := exec.CommandContext(ctx, p.kubectl, append([]string{"--namespace=" + p.namespace}, args...)...)
	command.Env = slices.Concat(p.env, env)
	command.Stdin = strings.NewReader(stdin)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); err != nil && (!ok || exit.ExitCode() < 0) {
		t.Fatalf("kubectl %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return answer{stdout: stdout.String(), stderr: stderr.String(), exit: command.ProcessState.ExitCode()}
}

// must runs kubectl and returns what it printed; it must succeed.
func (p *person) must(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	got := p.run(t, stdin, args...)
	if got.exit != 0 {
		t.Fatalf("kubectl %s: exit %d\n%s%s", strings.Join(args, " "), got.exit, got.stdout, got.stderr)
	}
	return got.stdout
}

// await waits as people do, with kubectl wait.
func (p *person) await(t *testing.T, object, what string) {
	t.Helper()
	got := p.run(t, "", "wait", object, "--for="+what, "--timeout="+patience.String())
	if got.exit != 0 {
		t.Fatalf("%s never came to %s: %s\n%s", object, what, got.stderr, p.run(t, "", "get", object, "-o", "yaml").stdout)
	}
}

// field reads one field of an object.
func (p *person) field(t *testing.T, object, jsonpath string) string {
	t.Helper()
	return p.must(t, "", "get", object, "-o", "jsonpath="+jsonpath)
}

// object is a manifest.
type object map[string]any

func (o object) String() string {
	text, err := json.Marshal(o)
	if err != nil {
		panic(err) // only text, numbers, maps and lists are in it
	}
	return string(text)
}

func manifest(kind, name string, spec object) object {
	return object{
		"apiVersion": "bbmcp.quietstack.com/v1alpha1", "kind": kind,
		"metadata": object{"name": name}, "spec": spec,
	}
}

// webhook declares an endpoint that is tried once.
func (p *person) webhook(name string, changes object) object {
	spec := object{
		"url": p.receiver.URL(p.path(name)), "events": []string{"context.*"},
		"retryPolicy": object{"delays": []string{}},
	}
	for key, value := range changes {
		if spec[key] = value; value == nil {
			delete(spec, key)
		}
	}
	return manifest("Webhook", name, spec)
}

// delivery is an event on its way to a webhook.
func delivery(name, webhook, payload string) object {
	return manifest("WebhookDelivery", name, object{
		"webhookRef": object{"name": webhook}, "eventID": "evt_" + name,
		"eventType": "context.created", "payload": payload,
	})
}

// body is a small payload.
const body = `{"event":"context.created","timestamp":"2024-01-15T10:30:00Z","data":{"context_id":"ctx_1"}}`

func secret(name string, labels object, value string) object {
	return object{
		"apiVersion": "v1", "kind": "Secret", "metadata": object{"name": name, "labels": labels},
		"stringData": object{"secret": value},
	}
}

// labelled marks a Secret as one that may sign.
func labelled() object { return object{"bbmcp.quietstack.com/signing-secret": "true"} }

// wantText fails unless text holds each of the parts.
func wantText(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is missing in:\n%s", part, text)
		}
	}
}
