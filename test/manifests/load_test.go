// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"bbmcp.quietstack.com/webhooks/internal/payload"
)

const root = "../.."

// event is a file of examples/events.
type event struct {
	Event     string          `json:"event"`
	Timestamp time.Time       `json:"timestamp"`
	Data      json.RawMessage `json:"data"`
}

// events returns those files by event type.
func events(t *testing.T) map[string]event {
	t.Helper()
	all := map[string]event{}
	for _, file := range glob(t, "examples/events/*.json") {
		var e event
		if err := json.Unmarshal(read(t, file), &e); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[e.Event] = e
	}
	if len(all) != 4 {
		t.Fatalf("%d example events, want 4", len(all))
	}
	return all
}

// body is the event as it is sent.
func (e event) body(t *testing.T) string {
	t.Helper()
	built, err := payload.Build(e.Event, e.Timestamp, e.Data)
	if err != nil {
		t.Fatalf("build %s: %v", e.Event, err)
	}
	return string(built)
}

func glob(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(root, pattern))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Fatalf("no file matches %s", pattern)
	}
	return files
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// load reads the objects of a YAML file; a member that the type lacks is an error.
func load[T any](t *testing.T, file string) []T {
	t.Helper()
	var all []T
	for document := range bytes.SplitSeq(read(t, file), []byte("\n---\n")) {
		var object T
		if err := yaml.UnmarshalStrict(document, &object); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, object)
	}
	return all
}
