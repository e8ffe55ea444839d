// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"bbmcp.quietstack.com/webhooks/dispatcher"
)

// documents are the Markdown files that people read, by path from the root.
func documents(t *testing.T) map[string]string {
	t.Helper()
	all := map[string]string{"README.md": string(read(t, filepath.Join(root, "README.md")))}
	for _, folder := range []string{"docs", "examples", "sdk"} {
		err := filepath.WalkDir(filepath.Join(root, folder), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() && entry.Name() == "node_modules" {
				return fs.SkipDir
			}
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

// kubectl apply reads every .yaml, .yml and .json file of a folder, and with -R
// of those below.
func TestWhatTheDocsApplyAreManifests(t *testing.T) {
	command := regexp.MustCompile("kubectl apply ([^`\n]*)")
	given := regexp.MustCompile(`-f (examples\S*)`)
	commands := 0
	for name, text := range documents(t) {
		for _, found := range command.FindAllStringSubmatch(text, -1) {
			for _, argument := range given.FindAllStringSubmatch(found[1], -1) {
				commands++
				for _, file := range applied(t, argument[1], strings.Contains(found[1], "-R ")) {
					if content := string(read(t, file)); !strings.Contains(content, "apiVersion:") || !strings.Contains(content, "kind:") {
						t.Errorf("%s applies %s, which is no manifest", name, file)
					}
				}
			}
		}
	}
	if commands == 0 {
		t.Error("no document applies the examples")
	}
}

// applied are the files that kubectl apply -f reads.
func applied(t *testing.T, argument string, recursive bool) (files []string) {
	t.Helper()
	start := filepath.Join(root, argument)
	err := filepath.WalkDir(start, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != start && !recursive:
			return fs.SkipDir
		case !entry.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(path)):
			files = append(files, path)
		}
		return nil
	})
	if err != nil {
		t.Errorf("kubectl apply -f %s: %v", argument, err)
	}
	return files
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
	known := all["docs/reference/flags.md"] + all["docs/reference/cli.md"]
	flag := regexp.MustCompile("`--([a-z][a-z-]+)")
	for name, text := range all {
		for _, found := range flag.FindAllStringSubmatch(text, -1) {
			if !regexp.MustCompile(`(?m)^ +(-\w, )?--?` + found[1] + `\b`).MatchString(known) {
				t.Errorf("%s speaks of the flag --%s, which does not exist", name, found[1])
			}
		}
	}
}

// What holds a bound is a test that exists, so that the bound is not just said.
func TestTheThreatModelNamesTests(t *testing.T) {
	var sources strings.Builder
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (entry.Name() == "node_modules" || path != root && strings.HasPrefix(entry.Name(), ".")):
			return fs.SkipDir
		case strings.HasSuffix(path, "_test.go"):
			sources.Write(read(t, path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(documents(t)["docs/threat-model.md"], "| resource | bound | held by |\n| --- | --- | --- |\n")
	table, _, _ = strings.Cut(table, "\n\n")
	function, text := regexp.MustCompile("`(\\w+)`"), regexp.MustCompile(`"[^"]+"`)
	rows := strings.Split(table, "\n")
	for _, row := range rows {
		cells := strings.Split(row, " | ")
		held := cells[len(cells)-1]
		names := text.FindAllString(held, -1)
		for _, found := range function.FindAllStringSubmatch(held, -1) {
			names = append(names, "func "+found[1]+"(")
		}
		if len(names) == 0 && !strings.Contains(held, "not ours to test") {
			t.Errorf("docs/threat-model.md names no test that holds: %s", row)
		}
		for _, name := range names {
			if !strings.Contains(sources.String(), name) {
				t.Errorf("docs/threat-model.md names %s, which is no test", name)
			}
		}
	}
	if len(rows) < 20 {
		t.Errorf("only %d bounds are found in docs/threat-model.md", len(rows))
	}
}

// A figure is worth as much as the command that gives it: what the last column names is the text of a test.
func TestTheMeasurementsNameTests(t *testing.T) {
	var sources strings.Builder
	for _, file := range append(glob(t, "test/process/*_test.go"), glob(t, "gateway/*_test.go")...) {
		sources.Write(read(t, file))
	}
	_, promises, _ := strings.Cut(documents(t)["docs/measurements.md"], "\n## Promises\n")
	promises, _, _ = strings.Cut(promises, "\n### ")
	named := regexp.MustCompile("(?m) \\| `([a-z ]+)`(?: \\(.*\\))? \\|$").FindAllStringSubmatch(promises, -1)
	for _, name := range named {
		if !strings.HasPrefix(name[1], "make ") && !strings.Contains(sources.String(), name[1]) {
			t.Errorf("docs/measurements.md names %q, which is no test", name[1])
		}
	}
	if len(named) < 15 {
		t.Errorf("only %d tests are named in docs/measurements.md", len(named))
	}
}

// Who looks for something begins with that page, so it names every package but the parts of tests and tools.
func TestTheArchitectureNamesEveryPackage(t *testing.T) {
	architecture := documents(t)["docs/architecture.md"]
	for _, pattern := range []string{"*/doc.go", "api/*/doc.go", "cmd/*/doc.go", "dispatcher/*/doc.go", "gateway/*/doc.go", "internal/*/doc.go", "test/*/doc.go"} {
		matches, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range matches {
			name, err := filepath.Rel(root, filepath.Dir(file))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(architecture, "`"+filepath.ToSlash(name)+"`") {
				t.Errorf("docs/architecture.md does not name the package %s", name)
			}
		}
	}
}
