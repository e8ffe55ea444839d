// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"bbmcp.quietstack.com/webhooks/dispatcher"
)

// documents are the Markdown files that people read, by path from the root.
func documents(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{"README.md": string(read(t, filepath.Join(root, "README.md")))}
	err := filepath.WalkDir(filepath.Join(root, "docs"), func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".md" {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err == nil {
			all[name] = string(read(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestLinksLeadToFiles(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#[]+)(#[^)]*)?\)`)
	for name, text := range documents(t) {
		for _, found := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(found[1], "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(root, filepath.Dir(name), found[1])); err != nil {
				t.Errorf("%s links to %s, which is not there", name, found[1])
			}
		}
	}
}

func TestEveryFailureReasonIsExplained(t *testing.T) {
	operations := documents(t)["docs/operations.md"]
	for _, reason := range dispatcher.Reasons() {
		if !strings.Contains(operations, "`"+string(reason)+"`") {
			t.Errorf("docs/operations.md says nothing of the reason %s", reason)
		}
	}
}

func TestEveryConditionReasonIsExplained(t *testing.T) {
	operations := documents(t)["docs/operations.md"]
	constant := regexp.MustCompile(`(?m)^\tReason\w+ += "(\w+)"$`)
	reasons := 0
	for _, file := range glob(t, "api/v1alpha1/webhook*.go") {
		for _, found := range constant.FindAllStringSubmatch(string(read(t, file)), -1) {
			reasons++
			if found[1] != "Pending" && !strings.Contains(operations, "`"+found[1]+"`") {
				t.Errorf("docs/operations.md says nothing of the reason %s", found[1])
			}
		}
	}
	if reasons < 25 {
		t.Errorf("%d reasons found in the API, which has more", reasons)
	}
}

func TestMetricsInTheDocsExist(t *testing.T) {
	all := documents(t)
	known := all["docs/reference/metrics.md"]
	metric := regexp.MustCompile("bbmcp_[a-z_]+")
	for name, text := range all {
		for _, found := range metric.FindAllString(text, -1) {
			if !strings.Contains(known, "`"+found+"`") {
				t.Errorf("%s speaks of the metric %s, which does not exist", name, found)
			}
		}
	}
}

func TestFlagsInTheDocsExist(t *testing.T) {
	all := documents(t)
	known := all["docs/reference/flags.md"]
	flag := regexp.MustCompile("`--([a-z][a-z-]+)")
	for name, text := range all {
		for _, found := range flag.FindAllStringSubmatch(text, -1) {
			if !regexp.MustCompile(`(?m)^ +--?` + found[1] + `\b`).MatchString(known) {
				t.Errorf("%s speaks of the flag --%s, which does not exist", name, found[1])
			}
		}
	}
}
