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

func TestAlertsSpeakOfMetricsThatThereAre(t *testing.T) {
	for _, alert := range load(t).Groups[0].Rules {
		checkQuery(t, alert.Alert, alert.Expr)
	}
}

func TestDashboardSpeaksOfMetricsThatThereAre(t *testing.T) {
	var dashboard struct {
		Panels []struct {
			Title, Description string
			Targets            []struct{ Expr string }
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "charts/bbmcp-webhooks/monitoring/dashboard.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	if len(dashboard.Panels) < 12 {
		t.Errorf("%d panels", len(dashboard.Panels))
	}
	for _, panel := range dashboard.Panels {
		if panel.Title == "" || panel.Description == "" || len(panel.Targets) == 0 {
			t.Errorf("panel %q is incomplete", panel.Title)
		}
		for _, target := range panel.Targets {
			checkQuery(t, panel.Title, target.Expr)
		}
	}
}

// checkQuery looks up a query's metrics, and the labels that it chooses and sums
// by, in the reference, which is made from what the programs register. What else
// the manager serves is controller-runtime's.
func checkQuery(t *testing.T, name, query string) {
	t.Helper()
	reference := read(t, "docs/reference/metrics.md")
	found := regexp.MustCompile(`\b((?:bbmcp|leader_election)_[a-z_]+)(?:\{([^}]*)\})?`).FindAllStringSubmatch(query, -1)
	if len(found) == 0 {
		t.Errorf("%s speaks of no metric", name)
	}
	var rows strings.Builder
	for _, metric := range found {
		if strings.HasPrefix(metric[1], "leader_election_") {
			continue
		}
		row := regexp.MustCompile("(?m)^\\| `" + strings.TrimSuffix(metric[1], "_bucket") + "` \\| (\\w+) .*$").FindStringSubmatch(reference)
		if len(row) < 2 || strings.HasSuffix(metric[1], "_bucket") != (row[1] == "histogram") {
			t.Errorf("%s speaks of %s, which does not exist", name, metric[1])
			continue
		}
		rows.WriteString(row[0])
		for _, label := range regexp.MustCompile(`([a-z_]+)(?:=|!=)`).FindAllStringSubmatch(metric[2], -1) {
			if !strings.Contains(row[0], "`"+label[1]+"`") {
				t.Errorf("%s chooses by the label %s, which %s does not have", name, label[1], metric[1])
			}
		}
	}
	for _, by := range regexp.MustCompile(`by \(([^)]*)\)`).FindAllStringSubmatch(query, -1) {
		for label := range strings.SplitSeq(by[1], ", ") {
			if label != "le" && !strings.Contains(rows.String(), "`"+label+"`") {
				t.Errorf("%s sums by the label %s, which its metrics do not have", name, label)
			}
		}
	}
}
