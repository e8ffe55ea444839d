// SPDX-License-Identifier: Apache-2.0

//go:build curl

package curl

import (
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"bbmcp.quietstack.com/webhooks/test/live"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// anything stands on the page for what differs from run to run.
const anything = "…"

// step is a command and what the page says that it prints.
type step struct{ command, output string }

// commands reads a console block. A command goes on in the next line after a
// backslash, in a quoted text that is open, or until the end of a here-document.
func commands(body string) (all []step) {
	open := func() bool { return len(all) > 0 && isOpen(all[len(all)-1].command) }
	for line := range strings.Lines(body) {
		command, isCommand := strings.CutPrefix(line, "$ ")
		switch {
		case open():
			all[len(all)-1].command += line
		case isCommand:
			all = append(all, step{command: command})
		case len(all) > 0:
			all[len(all)-1].output += line
		}
	}
	return all
}

// isOpen reports whether a command wants another line, unless its output has
// begun.
func isOpen(command string) bool {
	if _, document, ok := strings.Cut(command, "<<'YAML'\n"); ok {
		return !strings.HasSuffix(document, "\nYAML\n")
	}
	return strings.HasSuffix(command, "\\\n") || strings.Count(command, "'")%2 == 1
}

// matches reports whether an output is what the page shows.
func (s step) matches(output string) bool {
	parts := strings.Split(strings.TrimSpace(s.output), anything)
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile(`(?s)\A` + strings.Join(parts, ".*") + `\z`).MatchString(strings.TrimSpace(output))
}

// serve starts the product, and a receiver that refuses what comes to /broken.
func serve(t *testing.T) (*live.Product, *receiver.Receiver) {
	t.Helper()
	product, err := live.Start(t.Context(), live.Options{Progress: func(text string) { t.Log(text) }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := product.Stop(); err != nil {
			t.Error(err)
		}
	})
	endpoint, err := receiver.Start(receiver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(endpoint.Close)
	endpoint.Script("/broken", receiver.Step{Status: http.StatusInternalServerError})
	return product, endpoint
}

func find(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is not on the PATH: this check runs it and can prove nothing without it", name)
	}
	return path
}
