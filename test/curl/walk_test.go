// SPDX-License-Identifier: Apache-2.0

//go:build curl

package curl

import (
	"cmp"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const root = "../.."

// own are pages whose commands another test runs, in this order: those of a
// newcomer, who has nothing but the demo.
var own = []string{"README.md", "docs/getting-started.md", "docs/publishing.md", "docs/rest.md", "docs/cli.md"}

// names are what pages leave to the reader, and commands that go on for ever.
var names = strings.NewReplacer(
	"https://bbmcp.example.com", "$BBMCP_API_URL", "https://webhooks.example.com", "$BBMCP_API_URL",
	"whd NAME", "whd $DELIVERY", "webhook NAME", "webhook demo", "get whd NAME", "get whd $DELIVERY",
	"NAMESPACE", "default", "WEBHOOK ", "demo ", "name=WEBHOOK", "name=demo",
	"get whd -w", "get whd", " --watch\n", "\n",
)

// prepared is what the reader of a page has before its first command, beside the
// webhook demo, one that fails, and a delivery of each.
var prepared = map[string]string{
	"docs/keys.md":    `kubectl create namespace team-a`,
	"docs/tenancy.md": `kubectl delete namespace shop --ignore-not-found`,
	"docs/upgrading.md": `KEPT=$(kubectl get secret demo-signing -o jsonpath='{.data.secret}')
		restored() { test "$KEPT" = "$(kubectl get secret demo-signing -o jsonpath='{.data.secret}')"; }`,
}

// between is done before a block of a page, by the number of the block; after is
// what must hold at the end.
var (
	between = map[string]string{
		"docs/upgrading.md 3": `kubectl delete webhook --all -A; kubectl delete eventtypes --all`,
	}
	after = map[string]string{
		"docs/upgrading.md": `restored; kubectl get eventtype context.created`,
		"docs/tracing.md":   `test "$(kubectl get webhook demo -o jsonpath='{.spec.sendTraceParent}')" = true`,
	}
)

// block is a block of commands on a page.
type block struct {
	number  int
	excuse  string // why it is not run
	script  string // in a block without output, which must succeed
	outputs []step // in one with output
}

var fence = regexp.MustCompile("(?s)(?:<!-- not run: ([^\n]+) -->)?\n```(sh|console)\n(.*?)\n```")

// blocks reads a page.
func blocks(text string) (all []block) {
	for i, found := range fence.FindAllStringSubmatch(text, -1) {
		b := block{number: i + 1, excuse: found[1]}
		body := names.Replace(found[3] + "\n")
		if found[2] == "console" {
			b.outputs = commands(body)
		} else {
			b.script = body
		}
		all = append(all, b)
	}
	return all
}

// pages are those with commands, in the order of their names.
func pages(t *testing.T) map[string][]block {
	t.Helper()
	all := map[string][]block{}
	for _, pattern := range []string{"docs/*.md", "docs/runbooks/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range found {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			name, _ := filepath.Rel(root, file) // both are relative
			if on := blocks(string(text)); len(on) > 0 && !slices.Contains(own, name) {
				all[name] = on
			}
		}
	}
	return all
}

func TestTheCommandsOfEveryPageWork(t *testing.T) {
	for _, name := range []string{"bash", "curl", "kubectl", "jq"} {
		find(t, name)
	}
	product, endpoint := serve(t)
	environment := append(product.Environment(), "KUBECONFIG="+product.Kubeconfig(),
		"ENDPOINT="+endpoint.URL("/walk"), "BROKEN="+endpoint.URL("/broken"), "PATH="+bbmcp(t)+string(os.PathListSeparator)+os.Getenv("PATH"))
	all, ran, excused := pages(t), 0, 0
	isRun := func(b block) bool { return b.excuse == "" }
	for _, page := range slices.Sorted(maps.Keys(all)) {
		for _, b := range all[page] {
			if isRun(b) {
				ran++
			} else {
				excused++
			}
		}
		if !slices.ContainsFunc(all[page], isRun) {
			continue
		}
		t.Run(page, func(t *testing.T) {
			home := t.TempDir()
			for _, folder := range []string{"examples", "charts", "config"} {
				target, err := filepath.Abs(filepath.Join(root, folder))
				if err != nil {
					t.Fatal(err)
				}
				if err := os.Symlink(target, filepath.Join(home, folder)); err != nil {
					t.Fatal(err)
				}
			}
			walk(t, page, all[page], home, append(slices.Clone(environment), "HOME="+home))
		})
	}
	t.Logf("%d blocks of commands on %d pages ran, %d did not and say why", ran, len(all), excused)
	if ran < 20 {
		t.Errorf("only %d blocks ran", ran)
	}
}

// bbmcp builds the command line and returns its folder.
func bbmcp(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", folder, "./cmd/bbmcp")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build bbmcp: %v\n%s", err, out)
	}
	return folder
}

// start makes what every page takes for granted.
const start = `
	kubectl delete webhooks,whd --all
	sed "s|https://example.com/hooks/bbmcp|$BROKEN|; s/name: demo/name: broken/" examples/webhook.yaml | kubectl apply -f -
	kubectl patch webhook broken --type=merge -p '{"spec":{"retryPolicy":{"delays":[]}}}'
	sed "s|https://example.com/hooks/bbmcp|$ENDPOINT|" examples/webhook.yaml | kubectl apply -f -
	kubectl wait --for=condition=Ready wh/demo wh/broken --timeout=60s
	curl -sSf -X POST "$BBMCP_API_URL/v1/events" -H "Authorization: Bearer $BBMCP_API_KEY" -H 'Content-Type: application/json' -H 'Prefer: respond-async' -d @examples/events/context.created.json
	for try in $(seq 100); do DELIVERY=$(kubectl get whd --field-selector=status.state=Failed -o jsonpath='{.items[*].metadata.name}'); test -n "$DELIVERY" && break; sleep 0.1; done
	test -n "$DELIVERY"; WEBHOOK_ID=$(kubectl get wh demo -o jsonpath='{.status.webhookID}')
`

// walk runs the blocks of a page in one shell, as a reader does who has prepared it.
func walk(t *testing.T, page string, all []block, home string, environment []string) {
	t.Helper()
	first := fmt.Sprintf("{ set -euo pipefail\n%s\n%s\n} > prepared.log 2>&1\n", start, prepared[page])
	steps := make([]string, 0, len(all))
	for _, b := range all {
		step := first
		if done := between[fmt.Sprintf("%s %d", page, b.number)]; done != "" && b.excuse == "" {
			step += fmt.Sprintf("{ %s; } >> prepared.log 2>&1\n", done)
		}
		steps = append(steps, step)
		first = ""
	}
	last := fmt.Sprintf("{ %s; } >> prepared.log 2>&1\n", cmp.Or(after[page], "true"))
	follow(t, page, all, steps, last, home, environment)
}

// mark stands between what two commands print.
const mark = "\x1e"

// follow runs the blocks of a page in one shell, each after what must be done before
// it, and compares what they print. log is where that says what it did.
func follow(t *testing.T, page string, all []block, before []string, last, folder string, environment []string) {
	t.Helper()
	script := &strings.Builder{}
	var want []step
	for i, b := range all {
		if i < len(before) {
			script.WriteString(before[i])
		}
		if b.excuse != "" {
			continue
		}
		if b.script != "" {
			fmt.Fprintf(script, "set -e; printf '%s'\n%s", mark, b.script)
			want = append(want, step{command: b.script, output: anything})
		}
		for _, s := range b.outputs {
			fmt.Fprintf(script, "set +e; printf '%s'\n%s", mark, s.command)
		}
		want = append(want, b.outputs...)
	}
	fmt.Fprintf(script, "set -e; printf '%s'\n%s", mark, last)
	command := exec.CommandContext(t.Context(), "bash", "-c", script.String())
	command.Env, command.Dir = environment, folder
	printed, err := command.CombinedOutput()
	outputs := strings.Split(string(printed), mark)
	log, _ := os.ReadFile(filepath.Join(folder, "prepared.log"))
	if err != nil {
		t.Fatalf("%s, step %d: %v\n%s\nbefore it:\n%s", page, len(outputs)-1, err, outputs[len(outputs)-1], log)
	}
	for i, s := range want {
		if !s.matches(outputs[i+1]) {
			t.Errorf("%s: $ %sprinted\n%s\nbut the page shows\n%s", page, s.command, outputs[i+1], s.output)
		}
	}
}
