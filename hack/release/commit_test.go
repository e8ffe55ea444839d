// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"
)

// repository is one of git's, for a test.
type repository struct {
	t      *testing.T
	folder string
}

func newRepository(t *testing.T) *repository {
	t.Helper()
	// Settings of the machine that runs the test do not count.
	t.Setenv("GIT_CONFIG_GLOBAL", os.DevNull)
	t.Setenv("GIT_CONFIG_NOSYSTEM", "1")
	r := &repository{t, t.TempDir()}
	r.git("init", "--quiet", "--initial-branch=main")
	r.git("config", "user.name", "test")
	r.git("config", "user.email", "test@example.org")
	return r
}

// git runs git in the repository.
func (r *repository) git(args ...string) string {
	r.t.Helper()
	return must(output(r.t.Context(), r.folder, nil, "git", args...))(r.t)
}

// commit commits a file, with its name for a subject.
func (r *repository) commit(name string) {
	r.t.Helper()
	r.write(name, name)
	r.git("add", name)
	r.git("commit", "--quiet", "--message", name)
}

func (r *repository) write(name, content string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.folder, name), []byte(content), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

func TestRepositoryIsTheOneOfTheTree(t *testing.T) {
	other, r := newRepository(t), newRepository(t)
	other.commit("elsewhere")
	r.commit("here")
	want := r.git("rev-parse", "HEAD")
	t.Setenv("GIT_DIR", filepath.Join(other.folder, ".git"))
	t.Setenv("GIT_WORK_TREE", other.folder)
	if c, err := readCommit(t.Context(), r.folder, "1.2.3", false); err != nil || c.id != want {
		t.Errorf("the commit is %s, want %s (%v)", c.id, want, err)
	}
}
