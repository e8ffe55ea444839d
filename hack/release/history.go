// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/semver"
)

// history is what came before a commit.
type history struct {
	// previous is the tag of the release before; empty: this is the first one.
	previous string
	// subjects are the first lines of the commits since then, newest first.
	subjects []string
}

// readHistory reads what came before the commit that is checked out at tree. A tag of the version is an error if it is
// of another commit: a version is released once. A shallow clone has no history, which is an error unless dirty.
func (c commit) readHistory(ctx context.Context, tree, version string, dirty bool) (history, error) {
	shallow, err := runGit(ctx, tree, nil, "rev-parse", "--is-shallow-repository")
	if err != nil {
		return history{}, err
	}
	if shallow != "false" && dirty {
		return history{}, nil
	}
	if shallow != "false" {
		return history{}, errors.New("the clone is shallow: commits and tags that the notes need are not there (git fetch --unshallow --tags gets them)")
	}
	// The second name is that of the commit, where a tag is an object of its own.
	own, err := runGit(ctx, tree, nil, "tag", "--list", "v"+version, "--format=%(objectname) %(*objectname)")
	if err != nil {
		return history{}, err
	}
	if names := strings.Fields(own); len(names) > 0 && names[len(names)-1] != c.id {
		return history{}, fmt.Errorf("the tag v%s is of commit %s, and %s is checked out", version, names[len(names)-1], c.id)
	}
	tags, err := runGit(ctx, tree, nil, "tag", "--list", "v*", "--merged", c.id)
	if err != nil {
		return history{}, err
	}
	h := history{previous: previousTag(strings.Fields(tags), version)}
	revisions := c.id
	if h.previous != "" {
		revisions = "refs/tags/" + h.previous + ".." + c.id
	}
	subjects, err := runGit(ctx, tree, nil, "log", "--no-merges", "--format=%s", revisions)
	if subjects != "" {
		h.subjects = strings.Split(subjects, "\n")
	}
	return h, err
}

// previousTag is the highest of the tags below a version. What came before a final release is a final one: its notes
// tell all changes, those in its candidates included.
func previousTag(tags []string, version string) string {
	previous := ""
	for _, tag := range tags {
		name, prefixed := strings.CutPrefix(tag, "v")
		candidate := strings.Contains(name, "-") && !strings.Contains(version, "-")
		if prefixed && versionPattern.MatchString(name) && !candidate &&
			semver.Compare(tag, "v"+version) < 0 && semver.Compare(tag, previous) > 0 {
			previous = tag
		}
	}
	return previous
}
