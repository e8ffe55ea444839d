// SPDX-License-Identifier: Apache-2.0

package alerts

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

const root = "../.."

type rules struct {
	Groups []struct {
		Rules []struct {
			Alert       string
			Expr        string
			For         string
			Labels      map[string]string
			Annotations map[string]string
		}
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func load(t *testing.T) rules {
	t.Helper()
	var all rules
	if err := yaml.Unmarshal([]byte(read(t, "charts/bbmcp-webhooks/monitoring/alerts.yaml")), &all); err != nil {
		t.Fatal(err)
	}
	if len(all.Groups) != 1 || len(all.Groups[0].Rules) < 9 {
		t.Fatalf("%v", all)
	}
	return all
}

func TestEveryAlertIsCompleteAndHasARunbook(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "docs/runbooks/BBMCP*.md"))
	if err != nil {
		t.Fatal(err)
	}
	tests, index := read(t, "test/alerts/alerts.yaml"), read(t, "docs/runbooks/README.md")
	all := load(t).Groups[0].Rules
	for _, alert := range all {
		page := read(t, alert.Annotations["runbook"])
		if !strings.HasPrefix(page, "# "+alert.Alert+"\n") || !strings.Contains(page, "\n## Look\n") || !strings.Contains(page, "\n## Mend\n") {
			t.Errorf("%s is no runbook of %s", alert.Annotations["runbook"], alert.Alert)
		}
		if alert.For == "" || alert.Labels["severity"] == "" || alert.Annotations["summary"] == "" || alert.Annotations["description"] == "" {
			t.Errorf("%s is incomplete", alert.Alert)
		}
		if !strings.Contains(tests, "alertname: "+alert.Alert+"\n    exp_alerts:") || !strings.Contains(index, "["+alert.Alert+"]") {
			t.Errorf("%s is not in test/alerts/alerts.yaml or docs/runbooks/README.md", alert.Alert)
		}
	}
	if len(pages) != len(all) {
		t.Errorf("%d runbooks for %d alerts", len(pages), len(all))
	}
}

// The reference is made from what the programs register. What else the manager
// serves is controller-runtime's.
func TestAlertsSpeakOfMetricsThatThereAre(t *testing.T) {
	reference := read(t, "docs/reference/metrics.md")
	metric := regexp.MustCompile(`\b(bbmcp|leader_election)_[a-z_]+`)
	label := regexp.MustCompile(`[{,] *([a-z_]+)=`)
	for _, alert := range load(t).Groups[0].Rules {
		found := metric.FindAllString(alert.Expr, -1)
		if len(found) == 0 {
			t.Errorf("%s speaks of no metric", alert.Alert)
		}
		for _, name := range found {
			if strings.HasPrefix(name, "leader_election_") {
				continue
			}
			row := regexp.MustCompile("(?m)^\\| `" + name + "` \\|.*$").FindString(reference)
			if row == "" {
				t.Errorf("%s speaks of %s, which does not exist", alert.Alert, name)
			}
			selector := regexp.MustCompile(name + `(\{[^}]*\})`).FindStringSubmatch(alert.Expr)
			if selector == nil {
				continue
			}
			for _, used := range label.FindAllStringSubmatch(selector[1], -1) {
				if !strings.Contains(row, "`"+used[1]+"`") {
					t.Errorf("%s chooses by the label %s, which %s does not have", alert.Alert, used[1], name)
				}
			}
		}
	}
}
