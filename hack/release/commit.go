// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// commit is what a release is made of.
type commit struct {
	id string
	// time is when it was committed, and the time of everything in the release.
	time time.Time
	// changed says that the tree has changes that are not committed.
	changed bool
}

// suffix is what follows where the commit is named.
func (c commit) suffix() string {
	if c.changed {
		return ", with changes that are not committed"
	}
	return ""
}

// uncommittedChanges lists what in the tree is not what is committed; empty: nothing. It compares content, with an index of its
// own: the user's says of a file that it is unchanged if its time is, whatever a setting made of it at checkout.
func uncommittedChanges(ctx context.Context, tree string) (string, error) {
	folder, err := os.MkdirTemp("", "release-index-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	index := []string{"GIT_INDEX_FILE=" + filepath.Join(folder, "index")}
	if _, err := runGit(ctx, tree, index, "read-tree", "HEAD"); err != nil {
		return "", err
	}
	return runGit(ctx, tree, index, "status", "--porcelain", "--untracked-files=normal")
}

// readCommit reads the commit that is checked out at tree. Changes that are not committed are an error unless dirty.
func readCommit(ctx context.Context, tree string, dirty bool) (commit, error) {
	status, err := uncommittedChanges(ctx, tree)
	if err != nil {
		return commit{}, err
	}
	if status != "" && !dirty {
		return commit{}, fmt.Errorf("the tree is not what is committed (--dirty takes it all the same):\n%s", status)
	}
	head, err := runGit(ctx, tree, nil, "log", "-1", "--format=%H %ct")
	if err != nil {
		return commit{}, err
	}
	id, seconds, _ := strings.Cut(head, " ")
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return commit{}, fmt.Errorf("time of commit %s: %w", id, err)
	}
	return commit{id: id, time: time.Unix(unix, 0).UTC(), changed: status != ""}, nil
}
