// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	quoted  = regexp.MustCompile("`([\\w.-]+(?:/[\\w.-]*)+)`")
	heading = regexp.MustCompile(`^#{1,6} +(.*)$`)
	named   = regexp.MustCompile("\\]\\(([^)\\s]+\\.go)\\), `(\\w+)`")
	linked  = regexp.MustCompile(`\[([^]]*)\]\([^)]*\)`)
)

// referenceTree is what pages may speak of.
type referenceTree struct {
	root     string
	headings map[string]map[string]bool // anchors by page, as far as they were asked for
}

// checkReferences complains of links and paths that lead nowhere.
func (t *referenceTree) checkReferences(page string, lines []pageLine) (complaints []string) {
	for _, l := range lines {
		for _, found := range link.FindAllStringSubmatch(l.text, -1) {
			if why := t.checkLink(page, found[1]); why != "" {
				complaints = append(complaints, fmt.Sprintf("%s:%d: the link %s: %s", page, l.number, found[1], why))
			}
		}
		for _, found := range named.FindAllStringSubmatch(l.text, -1) {
			if file := path.Join(path.Dir(page), found[1]); t.exists(file) && !t.declares(file, found[2]) {
				complaints = append(complaints, fmt.Sprintf("%s:%d: %s has no function %s", page, l.number, file, found[2]))
			}
		}
		for _, found := range quoted.FindAllStringSubmatch(l.text, -1) {
			if t.isPath(found[1]) && !t.exists(found[1]) {
				complaints = append(complaints, fmt.Sprintf("%s:%d: %s is not in the tree", page, l.number, found[1]))
			}
		}
	}
	return complaints
}

// checkLink says what is wrong with a link; "" if nothing is.
func (t *referenceTree) checkLink(page, target string) string {
	if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
		return ""
	}
	name, anchor, _ := strings.Cut(target, "#")
	file := page
	if name != "" {
		file = path.Join(path.Dir(page), name)
	}
	switch {
	case !t.exists(file):
		return "there is no such file"
	case anchor != "" && strings.HasSuffix(file, ".md") && !t.anchors(file)[anchor]:
		return "there is no such heading"
	}
	return ""
}

// isPath reports whether words with slashes are meant as a file or folder of ours: they begin with a folder of the tree. What
// only the build makes, in bin/, is none.
func (t *referenceTree) isPath(words string) bool {
	folder, _, _ := strings.Cut(words, "/")
	info, err := os.Stat(filepath.Join(t.root, folder))
	return err == nil && info.IsDir() && folder != "bin"
}

func (t *referenceTree) exists(name string) bool {
	_, err := os.Stat(filepath.Join(t.root, name))
	return err == nil
}

// declares reports whether a Go file has a function or method of that name.
func (t *referenceTree) declares(file, name string) bool {
	text, err := os.ReadFile(filepath.Join(t.root, file))
	return err == nil && regexp.MustCompile(`(?m)^func (\([^)]*\) )?`+name+`\b`).Match(text)
}

// anchors are the headings of a page in the form in which links name them.
func (t *referenceTree) anchors(page string) map[string]bool {
	if known := t.headings[page]; known != nil {
		return known
	}
	all := map[string]bool{}
	text, err := os.ReadFile(filepath.Join(t.root, page))
	if err == nil {
		for _, l := range readPageLines(string(text)) {
			if found := heading.FindStringSubmatch(l.text); found != nil {
				all[headingAnchor(found[1])] = true
			}
		}
	}
	t.headings[page] = all
	return all
}

// headingAnchor is how a link names a heading: in lower case, without marks, blanks as hyphens.
func headingAnchor(text string) string {
	text = linked.ReplaceAllString(text, "$1")
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', r >= '0' && r <= '9', r >= 'a' && r <= 'z', r > 127:
			return r
		}
		return -1
	}, strings.ToLower(text))
}
