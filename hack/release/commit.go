// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// commit is what a release is made of.
type commit struct {
	id string
	// time is when it was committed, and the time of everything in the release.
	time time.Time
	// previous is the tag of the release before; empty: this is the first one.
	previous string
	// subjects are the first lines of the commits since then, newest first.
	subjects []string
}

// readCommit reads the commit that is checked out at tree. Changes that are not committed are an error unless dirty.
func readCommit(ctx context.Context, tree, version string, dirty bool) (commit, error) {
	git := func(args ...string) (string, error) { return output(ctx, tree, nil, "git", args...) }
	status, err := git("status", "--porcelain")
	if err != nil {
		return commit{}, err
	}
	if status != "" && !dirty {
		return commit{}, fmt.Errorf("the tree is not what is committed (--dirty takes it all the same):\n%s", status)
	}
	head, err := git("log", "-1", "--format=%H %ct")
	if err != nil {
		return commit{}, err
	}
	id, seconds, _ := strings.Cut(head, " ")
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return commit{}, fmt.Errorf("time of commit %s: %w", id, err)
	}
	c := commit{id: id, time: time.Unix(unix, 0).UTC()}
	// A tag of this very release is the end of the range, not its beginning.
	if tag, err := git("describe", "--tags", "--abbrev=0", "--match=v[0-9]*", "--exclude=v"+version, "HEAD"); err == nil {
		c.previous = tag
	}
	revisions := "HEAD"
	if c.previous != "" {
		revisions = c.previous + "..HEAD"
	}
	subjects, err := git("log", "--no-merges", "--format=%s", revisions)
	if err != nil {
		return commit{}, err
	}
	if subjects != "" {
		c.subjects = strings.Split(subjects, "\n")
	}
	return c, nil
}

// output runs a program in a folder and returns what it prints, without white space around it.
func output(ctx context.Context, folder string, environment []string, program string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, program, args...)
	command.Dir = folder
	command.Env = append(withoutRepository(command.Environ()), environment...)
	var complaint strings.Builder
	command.Stderr = &complaint
	out, err := command.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", program, strings.Join(args, " "), err, complaint.String())
	}
	return strings.TrimSpace(string(out)), nil
}

// withoutRepository leaves out the variables by which git tells the programs that it starts, as hooks are, which
// repository they are in: it is the one of the folder that counts.
func withoutRepository(environment []string) []string {
	return slices.DeleteFunc(environment, func(each string) bool {
		name, _, _ := strings.Cut(each, "=")
		return slices.Contains([]string{
			"GIT_DIR", "GIT_WORK_TREE", "GIT_IMPLICIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_NAMESPACE",
			"GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE", "GIT_REPLACE_REF_BASE",
			"GIT_CONFIG", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT",
		}, name)
	})
}
