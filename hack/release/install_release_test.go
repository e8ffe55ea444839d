// SPDX-License-Identifier: Apache-2.0

//go:build release

package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	gomodule "golang.org/x/mod/module"
	"golang.org/x/mod/zip"
)

// A proxy serves the module as it is committed, as one for Go modules would; go install asks it for a commit.
func TestCommandLineIsInstalledByCommit(t *testing.T) {
	const tree = "../.."
	c := must(readCommit(t.Context(), tree, true))(t)
	version := gomodule.PseudoVersion("", "", c.time, c.id[:12])
	proxy := t.TempDir()
	folder := filepath.Join(proxy, module, "@v")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	info := must(json.Marshal(map[string]any{"Version": version, "Time": c.time}))(t)
	var archive bytes.Buffer
	if err := zip.CreateFromVCS(&archive, gomodule.Version{Path: module, Version: version}, tree, c.id, ""); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string][]byte{
		"list": []byte(version + "\n"), c.id + ".info": info, version + ".info": info, version + ".zip": archive.Bytes(),
		version + ".mod": []byte(must(commandOutput(t.Context(), tree, nil, "git", "show", c.id+":go.mod"))(t)),
	} {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cache := must(commandOutput(t.Context(), ".", nil, "go", "env", "GOMODCACHE"))(t)
	t.Cleanup(func() {
		_ = os.RemoveAll(filepath.Join(cache, module+"@"+version))
		left, _ := filepath.Glob(filepath.Join(cache, "cache/download", module, "@v", version+"*"))
		for _, each := range left {
			_ = os.Remove(each)
		}
	})
	bin := t.TempDir()
	// What else it needs was downloaded for the tests already.
	must(commandOutput(t.Context(), t.TempDir(), []string{
		"GOPROXY=file://" + proxy + ",file://" + filepath.Join(cache, "cache/download"), "GONOSUMDB=" + module, "GOSUMDB=off",
		"GOFLAGS=-modcacherw", "GOWORK=off", "GOBIN=" + bin, "CGO_ENABLED=0",
	}, "go", "install", "-trimpath", module+"/cmd/bbmcp@"+c.id))(t)
	out, err := exec.CommandContext(t.Context(), filepath.Join(bin, "bbmcp"), "version").CombinedOutput()
	if got, want := strings.TrimSpace(string(out)), "bbmcp "+strings.TrimPrefix(version, "v"); err != nil || got != want {
		t.Errorf("bbmcp version prints %q, want %q (%v)", got, want, err)
	}
}
