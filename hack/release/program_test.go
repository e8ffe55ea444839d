// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"debug/buildinfo"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestSettingsOfGoChangeNoProgram(t *testing.T) {
	tree := t.TempDir()
	for name, content := range map[string]string{
		"go.mod":   "module example.org/tree\n\ngo 1.26.0\n",
		"main.go":  "package main\n\nfunc main() {}\n",
		"other.go": "//go:build other\n\npackage main\n\nfunc init() { panic(1) }\n",
	} {
		if err := os.WriteFile(filepath.Join(tree, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := func() builtProgram {
		t.Helper()
		b := programBuilder{tree: tree, version: "1.2.3", work: t.TempDir()}
		return must(b.build(t.Context(), program{"tree", "."}, platform{runtime.GOOS, runtime.GOARCH}))(t)
	}
	first := build()
	file := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(file, []byte("GOFLAGS=-tags=other\nGOEXPERIMENT=nosizespecializedmalloc\nGOFIPS140=latest\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, environment := range map[string][]string{
		"go env -w":   {"GOENV=" + file},
		"a variable":  {"GOFLAGS=-tags=other"},
		"FIPS":        {"GOFIPS140=latest"},
		"a workspace": {"GOWORK=" + filepath.Join(tree, "none.work")},
		"no module":   {"GO111MODULE=off"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, each := range environment {
				name, value, _ := strings.Cut(each, "=")
				t.Setenv(name, value)
			}
			if !bytes.Equal(build().content, first.content) {
				t.Error("another program is built")
			}
		})
	}
	if got := must(programsToolchain([]builtProgram{first}))(t); got != must(buildinfo.Read(bytes.NewReader(first.content)))(t).GoVersion {
		t.Errorf("it was built by %s", got)
	}
	if _, err := programsToolchain([]builtProgram{{content: bytes.ReplaceAll(first.content, []byte(runtime.Version()), []byte("go1.26.0"))}}); err == nil {
		t.Error("a program of another version of Go is taken")
	}
}

func TestWhereModulesAreIsHandedOn(t *testing.T) {
	file := filepath.Join(t.TempDir(), "env")
	if err := os.WriteFile(file, []byte("GOPROXY=https://proxy.example\nGONOSUMDB=one.example,two.example\nGOFLAGS=-mod=mod\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"GOPROXY", "GONOSUMDB", "GOFLAGS"} {
		t.Setenv(name, "")
	}
	t.Setenv("GOENV", file)
	got := strings.Join(must(programEnvironment(t.Context(), "."))(t), "\n")
	if !strings.Contains(got, "GOPROXY=https://proxy.example\n") || !strings.Contains(got, "GONOSUMDB=one.example,two.example\n") || strings.Contains(got, "GOFLAGS") {
		t.Errorf("handed on:\n%s", got)
	}
}
