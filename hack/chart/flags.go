// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
)

// flagSection is a program in the reference of flags. own are the flags that the
// chart sets from other values.
type flagSection struct {
	title, def string
	own        []string
}

func flagSections() []flagSection {
	return []flagSection{
		{"bbmcp-webhooks manager", "managerFlags", []string{
			"help", "kubeconfig", "dispatcher-socket", "namespaces", "metrics-address", "metrics-cert-file", "metrics-key-file", "probe-address", "skipped-configmap",
		}},
		{"bbmcp-webhooks gateway", "gatewayFlags", []string{
			"help", "kubeconfig", "dispatcher-socket", "namespaces", "metrics-address", "metrics-cert-file", "metrics-key-file", "address", "tls-cert-file", "tls-key-file",
			"skipped-configmap",
		}},
		{"dispatcher", "dispatcherFlags", []string{"socket", "metrics-address", "ca-bundle"}},
	}
}

// programFlag is one as the reference shows it.
type programFlag struct{ name, kind, usage string }

var (
	// "      --unsettled int                      most attempts … (default 512)"
	longFlag = regexp.MustCompile(`^ +(?:-\w, )?--([a-z-]+)(?: (\w+))? {2,}(.+)$`)
	// "  -allow-cidr range", with what it means in the next line
	shortFlag = regexp.MustCompile(`^ {2}-([a-z-]+)(?: (\w+))?$`)
)

// readFlags reads those that users of the chart set by name.
func readFlags(s flagSection) ([]programFlag, error) {
	text, err := os.ReadFile(reference)
	if err != nil {
		return nil, err
	}
	_, rest, found := strings.Cut(string(text), "\n## "+s.title+"\n")
	if !found {
		return nil, fmt.Errorf("%s has no section %s", reference, s.title)
	}
	rest, _, _ = strings.Cut(rest, "\n## ")
	var all []programFlag
	lines := strings.Split(rest, "\n")
	for i, line := range lines {
		var next programFlag
		if found := longFlag.FindStringSubmatch(line); found != nil {
			next = programFlag{found[1], found[2], found[3]}
		} else if found := shortFlag.FindStringSubmatch(line); found != nil && i+1 < len(lines) {
			next = programFlag{found[1], found[2], strings.TrimSpace(lines[i+1])}
		}
		if next.name != "" && !slices.Contains(s.own, next.name) {
			all = append(all, next)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: no flags of %s", reference, s.title)
	}
	return all, nil
}

// schema says what values the flag takes.
func (f programFlag) schema() (map[string]any, error) {
	kinds := map[string]map[string]any{
		"":         {"type": "boolean"},
		"int":      {"type": "integer", "minimum": 0},
		"float":    {"type": "number", "minimum": 0},
		"duration": {"$ref": "#/$defs/duration"},
		"string":   {"type": "string"},
		"strings":  {"type": "array", "items": map[string]any{"type": "string"}},
		"range":    {"type": "array", "items": map[string]any{"$ref": "#/$defs/range"}},
		"level":    {"enum": []string{"debug", "info", "warn", "error"}},
		"address":  {"type": "string"},
	}
	kind := f.kind
	if f.name == "log-level" {
		kind = "level"
	}
	property, found := kinds[kind]
	if !found {
		return nil, fmt.Errorf("--%s takes a %s, which hack/chart does not know", f.name, f.kind)
	}
	property["description"] = f.usage
	return property, nil
}
