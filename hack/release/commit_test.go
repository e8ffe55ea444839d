// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	return must(commandOutput(r.t.Context(), r.folder, nil, "git", args...))(r.t)
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
	if c, err := readCommit(t.Context(), r.folder, false); err != nil || c.id != want {
		t.Errorf("the commit is %s, want %s (%v)", c.id, want, err)
	}
}

// read reads the commit that is checked out and what came before it.
func (r *repository) read(version string) (commit, history, error) {
	c, err := readCommit(r.t.Context(), r.folder, false)
	if err != nil {
		return c, history{}, err
	}
	h, err := c.readHistory(r.t.Context(), r.folder, version, false)
	return c, h, err
}

func TestNotesBeginAtTheReleaseBefore(t *testing.T) {
	r := newRepository(t)
	for _, tag := range []string{"v1.2.0-rc.1", "v1.2.0", "v1.10.0-rc.1", "v1.3.0", "v1.10.0-rc.2", "v1.2.1", "v2", "v1.5.0-x+y"} {
		r.commit(tag)
		r.git("tag", tag)
	}
	r.commit("last")
	r.git("checkout", "--quiet", "-b", "other", "v1.2.0")
	r.commit("elsewhere")
	r.git("tag", "v1.4.0")
	r.git("checkout", "--quiet", "main")
	for version, want := range map[string]string{
		"1.10.0":      "v1.3.0 last v1.5.0-x+y v2 v1.2.1 v1.10.0-rc.2",
		"1.10.0-rc.3": "v1.10.0-rc.2 last v1.5.0-x+y v2 v1.2.1",
		"1.2.2":       "v1.2.1 last v1.5.0-x+y v2",
		"0.9.0":       " last v1.5.0-x+y v2 v1.2.1 v1.10.0-rc.2 v1.3.0 v1.10.0-rc.1 v1.2.0 v1.2.0-rc.1",
	} {
		_, h, err := r.read(version)
		if got := strings.Join(append([]string{h.previous}, h.subjects...), " "); err != nil || got != want {
			t.Errorf("%s: release before and commits are %q, want %q (%v)", version, got, want, err)
		}
	}
}

func TestVersionIsOfOneCommit(t *testing.T) {
	r := newRepository(t)
	r.commit("one")
	r.git("tag", "v1.2.3")
	r.git("tag", "--annotate", "--message", "a release", "v1.2.4")
	for _, version := range []string{"1.2.3", "1.2.4", "1.2.5"} {
		if _, _, err := r.read(version); err != nil {
			t.Errorf("%s: %v", version, err)
		}
	}
	r.commit("two")
	for version, good := range map[string]bool{"1.2.3": false, "1.2.4": false, "1.2.5": true} {
		if _, _, err := r.read(version); (err == nil) != good {
			t.Errorf("%s is taken: %t, want %t (%v)", version, !good, good, err)
		}
	}
}

func TestShallowCloneIsRefused(t *testing.T) {
	r := newRepository(t)
	r.commit("one")
	r.commit("two")
	shallow := &repository{t, filepath.Join(t.TempDir(), "clone")}
	r.git("clone", "--quiet", "--depth=1", "file://"+r.folder, shallow.folder)
	if _, _, err := shallow.read("1.2.3"); err == nil || !strings.Contains(err.Error(), "shallow") {
		t.Errorf("a shallow clone gives %v", err)
	}
	c, err := readCommit(t.Context(), shallow.folder, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.readHistory(t.Context(), shallow.folder, "1.2.3", true); err != nil {
		t.Errorf("as it is: %v", err)
	}
}

func TestSettingsOfGitHideNoChange(t *testing.T) {
	for name, change := range map[string]func(*repository){
		"a new file that git does not show": func(r *repository) {
			r.git("config", "status.showUntrackedFiles", "no")
			r.write("new", "new")
		},
		"ends of lines that git translates": func(r *repository) {
			r.git("config", "core.autocrlf", "true")
			r.write("one", "one\r\ntwo\r\n")
			r.git("add", "one")
		},
		"a file that git does not look at": func(r *repository) {
			r.git("update-index", "--assume-unchanged", "one")
			r.write("one", "other")
		},
	} {
		r := newRepository(t)
		r.write("one", "one\ntwo\n")
		r.git("add", "one")
		r.git("commit", "--quiet", "--message", "one")
		if _, _, err := r.read("1.2.3"); err != nil {
			t.Fatal(err)
		}
		change(r)
		if _, _, err := r.read("1.2.3"); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestSignatureOfACommitIsNoSubject(t *testing.T) {
	r := newRepository(t)
	program := filepath.Join(t.TempDir(), "gpg")
	// It signs and verifies anything.
	if err := os.WriteFile(program, []byte(`#!/bin/sh
cat >/dev/null
case "$*" in
*--verify*) echo "[GNUPG:] GOODSIG 1 test"; echo "gpg: good" >&2 ;;
*) echo "[GNUPG:] SIG_CREATED " >&2; echo "-----BEGIN PGP SIGNATURE-----"; echo "-----END PGP SIGNATURE-----" ;;
esac
`), 0o700); err != nil {
		t.Fatal(err)
	}
	for setting, value := range map[string]string{"gpg.program": program, "commit.gpgSign": "true", "log.showSignature": "true"} {
		r.git("config", setting, value)
	}
	r.commit("one")
	if shown := r.git("log", "--format=%s"); !strings.Contains(shown, "gpg: good") {
		t.Fatalf("git shows no signature: %s", shown)
	}
	c, h, err := r.read("1.2.3")
	if err != nil || c.id != r.git("rev-parse", "HEAD") || !slices.Equal(h.subjects, []string{"one"}) {
		t.Errorf("commit %q, subjects %q (%v)", c.id, h.subjects, err)
	}
}
