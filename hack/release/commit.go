// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/mod/semver"
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

// history is what came before a commit.
type history struct {
	// previous is the tag of the release before; empty: this is the first one.
	previous string
	// subjects are the first lines of the commits since then, newest first.
	subjects []string
}

// git runs git at tree. Settings of the user that change what it finds or prints do not count.
func git(ctx context.Context, tree string, environment []string, args ...string) (string, error) {
	const signatures, endings, encoding = "log.showSignature=false", "core.autocrlf=false", "i18n.logOutputEncoding=UTF-8"
	return output(ctx, tree, environment, "git", append([]string{"-c", signatures, "-c", endings, "-c", encoding}, args...)...)
}

// changes lists what in the tree is not what is committed; empty: nothing. It compares content, with an index of its
// own: the user's says of a file that it is unchanged if its time is, whatever a setting made of it at checkout.
func changes(ctx context.Context, tree string) (string, error) {
	folder, err := os.MkdirTemp("", "release-index-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	index := []string{"GIT_INDEX_FILE=" + filepath.Join(folder, "index")}
	if _, err := git(ctx, tree, index, "read-tree", "HEAD"); err != nil {
		return "", err
	}
	return git(ctx, tree, index, "status", "--porcelain", "--untracked-files=normal")
}

// readCommit reads the commit that is checked out at tree. Changes that are not committed are an error unless dirty.
func readCommit(ctx context.Context, tree string, dirty bool) (commit, error) {
	status, err := changes(ctx, tree)
	if err != nil {
		return commit{}, err
	}
	if status != "" && !dirty {
		return commit{}, fmt.Errorf("the tree is not what is committed (--dirty takes it all the same):\n%s", status)
	}
	head, err := git(ctx, tree, nil, "log", "-1", "--format=%H %ct")
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

// readHistory reads what came before the commit that is checked out at tree. A tag of the version is an error if it is
// of another commit: a version is released once. A shallow clone has no history, which is an error unless dirty.
func (c commit) readHistory(ctx context.Context, tree, version string, dirty bool) (history, error) {
	shallow, err := git(ctx, tree, nil, "rev-parse", "--is-shallow-repository")
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
	own, err := git(ctx, tree, nil, "tag", "--list", "v"+version, "--format=%(objectname) %(*objectname)")
	if err != nil {
		return history{}, err
	}
	if names := strings.Fields(own); len(names) > 0 && names[len(names)-1] != c.id {
		return history{}, fmt.Errorf("the tag v%s is of commit %s, and %s is checked out", version, names[len(names)-1], c.id)
	}
	tags, err := git(ctx, tree, nil, "tag", "--list", "v*", "--merged", c.id)
	if err != nil {
		return history{}, err
	}
	h := history{previous: previousTag(strings.Fields(tags), version)}
	revisions := c.id
	if h.previous != "" {
		revisions = "refs/tags/" + h.previous + ".." + c.id
	}
	subjects, err := git(ctx, tree, nil, "log", "--no-merges", "--format=%s", revisions)
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
