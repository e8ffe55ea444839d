// SPDX-License-Identifier: Apache-2.0

//go:build kubectl

package kubectl

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
)

// schema is the part of a CRD's schema that explain shows.
type schema struct {
	Description string            `json:"description"`
	Type        string            `json:"type"`
	Properties  map[string]schema `json:"properties"`
	Items       *schema           `json:"items"`
}

// fields are the members of an object, or of the objects of a list.
func (s schema) fields() map[string]schema {
	if s.Items != nil {
		return s.Items.fields()
	}
	return s.Properties
}

// visit calls see for every path below prefix. What Kubernetes itself explains
// (the inside of metadata) is left out.
func (s schema) visit(prefix string, see func(path string, field schema)) {
	for _, name := range slices.Sorted(maps.Keys(s.fields())) {
		path, field := prefix+"."+name, s.fields()[name]
		see(path, field)
		field.visit(path, see)
	}
}

// explainEverything walks the schemas and asks kubectl about each path.
func explainEverything(t *testing.T, p *person) {
	asked := 0
	slots := make(chan struct{}, 2) // kubectl mostly waits
	var running sync.WaitGroup
	defer running.Wait()
	for plural, kind := range map[string]string{"webhooks": "webhook", "webhookdeliveries": "webhookdelivery", "eventtypes": "eventtype"} {
		var crd struct {
			Spec struct {
				Versions []struct {
					Schema struct {
						OpenAPIV3Schema schema `json:"openAPIV3Schema"`
					} `json:"schema"`
				} `json:"versions"`
			} `json:"spec"`
		}
		if err := json.Unmarshal([]byte(p.must(t, "", "get", "crd", plural+".bbmcp.quietstack.com", "-o", "json")), &crd); err != nil {
			t.Fatal(err)
		}
		root := crd.Spec.Versions[0].Schema.OpenAPIV3Schema
		all := p.must(t, "", "explain", kind, "--recursive")
		wantExplained(t, p, kind, root)
		root.visit(kind, func(path string, field schema) {
			asked++
			name := path[strings.LastIndexByte(path, '.')+1:]
			if !strings.Contains(all, "  "+name+"\t<") {
				t.Errorf("explain --recursive %s does not list %q", kind, path)
			}
			slots <- struct{}{}
			running.Go(func() {
				defer func() { <-slots }()
				wantExplained(t, p, path, field)
			})
		})
	}
	running.Wait()
	t.Logf("kubectl explained %d fields", asked)
	if asked < 80 {
		t.Errorf("only %d fields were found in the schemas", asked)
	}
}

// wantExplained fails unless kubectl explain prints the description of a field.
func wantExplained(t *testing.T, p *person, path string, field schema) {
	got := p.run(t, "", "explain", path)
	if got.exit != 0 {
		t.Errorf("explain %s: %s", path, got.stderr)
		return
	}
	_, text, found := strings.Cut(got.stdout, "DESCRIPTION:")
	text, _, _ = strings.Cut(text, "FIELDS:")
	text = squeeze(text)
	if !found || text == "" || text == "<empty>" || text == "<no description>" {
		t.Errorf("explain %s describes nothing:\n%s", path, got.stdout)
		return
	}
	if strings.HasSuffix(path, ".metadata") {
		return // Kubernetes' own text
	}
	if want := squeeze(field.Description); want == "" || !strings.Contains(text, want) {
		t.Errorf("explain %s says %q, the schema says %q", path, text, want)
	}
}

func squeeze(text string) string { return strings.Join(strings.Fields(text), " ") }
