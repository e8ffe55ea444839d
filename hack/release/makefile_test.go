// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// compiler stands in for go: what it builds, and what it runs, prints its arguments.
const compiler = `#!/bin/sh
case $1 in
run) printf '%s\n' "$@" ;;
build)
  while [ "$1" != -o ]; do shift; done
  printf '#!/bin/sh\nprintf "%%s\\n" "$@"\n' >"$2"
  chmod +x "$2"
  ;;
esac
`

// makeWithoutGo runs the project's Makefile in a folder of its own, without Go, and returns what the packer was given.
func makeWithoutGo(t *testing.T, environment []string, args ...string) (folder string, given []string) {
	t.Helper()
	folder = t.TempDir()
	for _, each := range []string{"hack/release", "bin", "programs"} {
		if err := os.MkdirAll(filepath.Join(folder, each), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, content := range map[string][]byte{"Makefile": must(os.ReadFile("../../Makefile"))(t), "programs/go": []byte(compiler)} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	command := exec.CommandContext(t.Context(), "make", append([]string{"--silent", "--no-print-directory"}, args...)...)
	command.Dir = folder
	command.Env = slices.DeleteFunc(command.Environ(), func(each string) bool {
		return strings.HasPrefix(each, "MAKE") || strings.HasPrefix(each, "MFLAGS=")
	})
	command.Env = append(command.Env, "PATH="+filepath.Join(folder, "programs")+":"+os.Getenv("PATH"))
	command.Env = append(command.Env, environment...)
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("make: %v\n%s", err, out)
	}
	return folder, strings.Split(strings.TrimRight(string(out), "\n"), "\n")
}

func TestMakeTakesNoValueForACommand(t *testing.T) {
	const evil = "1';touch pasted;:'"
	for target, want := range map[string][]string{
		"release":      {"make", "--version=" + evil, "--platforms=" + evil, "--out=" + evil, "--key=" + evil, "--builder=" + evil},
		"push-release": {"push", "--registry=" + evil, evil},
	} {
		args := []string{target}
		for _, each := range []string{"VERSION", "PLATFORMS", "KEY", "OUT", "BUILDER", "REGISTRY"} {
			args = append(args, each+"="+evil)
		}
		folder, given := makeWithoutGo(t, nil, args...)
		if !slices.Equal(given, want) {
			t.Errorf("%s: the packer is given %q, want %q", target, given, want)
		}
		for _, each := range []string{"pasted", "hack/release/pasted"} {
			if _, err := os.Stat(filepath.Join(folder, each)); err == nil {
				t.Errorf("%s: a value was run as a command", target)
			}
		}
	}
}

func TestMakeTakesNothingFromTheEnvironment(t *testing.T) {
	environment := []string{"PLATFORMS=linux/sparc", "KEY=other.pem", "OUT=/", "BUILDER=https://other.example", "REGISTRY=other.example", "DIRTY=1"}
	for target, want := range map[string][]string{
		"release":      {"make", "--version=1.2.3", "--platforms=", "--out=dist", "--key=", "--builder="},
		"push-release": {"push", "--registry=", "dist"},
	} {
		if _, given := makeWithoutGo(t, environment, target, "VERSION=1.2.3"); !slices.Equal(given, want) {
			t.Errorf("%s: the packer is given %q, want %q", target, given, want)
		}
	}
	_, given := makeWithoutGo(t, nil, "release", "VERSION=1.2.3", "DIRTY=1")
	if !slices.Contains(given, "--dirty") {
		t.Errorf("DIRTY=1: the packer is given %q", given)
	}
}
