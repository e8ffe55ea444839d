// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// subjectPattern is the first line of a commit: area, colon, what it does.
var subjectPattern = regexp.MustCompile(`^([a-z][a-z0-9_./, -]*): (.+)$`)

// makeNotes makes the notes of the release from its commits.
func (r *release) makeNotes(context.Context) error {
	chart, err := r.chart.image.Digest()
	if err != nil {
		return err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "# BB-MCP Webhooks %s\n\nCommit %s%s.\n\n", r.version, r.commit.id, r.commit.suffix())
	fmt.Fprintf(&text, "| | |\n| --- | --- |\n| image | `%s@%s` |\n| chart | `%s@%s` |\n\n", r.image.name, r.imageDigest, r.chart.name, chart)
	since := "Changes since " + r.history.previous
	if r.history.previous == "" {
		since = "The first release: all changes"
	}
	fmt.Fprintf(&text, "%s, by area.\n%s", since, notesByArea(r.history.subjects))
	return r.writeFile("RELEASE-NOTES.md", []byte(text.String()))
}

// notesByArea lists the subjects of commits, oldest first, below the areas that they begin with.
func notesByArea(subjects []string) string {
	areas := map[string][]string{}
	for _, subject := range slices.Backward(subjects) {
		area, what := "other", subject
		if found := subjectPattern.FindStringSubmatch(subject); found != nil {
			// gateway/auth and "gateway, dashboard" belong to the gateway.
			area, what = strings.TrimSpace(strings.FieldsFunc(found[1], func(r rune) bool { return strings.ContainsRune("/,", r) })[0]), found[2]
			if area != found[1] {
				what += " (" + found[1] + ")"
			}
		}
		areas[area] = append(areas[area], what)
	}
	var text strings.Builder
	for _, area := range slices.Sorted(maps.Keys(areas)) {
		fmt.Fprintf(&text, "\n## %s\n\n", area)
		for _, what := range areas[area] {
			fmt.Fprintf(&text, "- %s\n", what)
		}
	}
	return text.String()
}
