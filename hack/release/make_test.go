// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestVersions(t *testing.T) {
	for version, good := range map[string]bool{
		"1.2.3": true, "0.1.0-rc.1": true, "1.2.3-0a": true,
		"": false, "v1.2.3": false, "1.2": false, "01.2.3": false, "1.2.3-01": false, "1.2.3+build": false, "1.2.3 ": false, "dev": false,
	} {
		if versionPattern.MatchString(version) != good {
			t.Errorf("%q is a version: %t, want %t", version, !good, good)
		}
	}
}

func TestPlatforms(t *testing.T) {
	for list, want := range map[string]string{
		"":                          "",
		"linux/arm64,darwin/amd64":  "darwin/amd64,linux/arm64",
		"linux/amd64,linux/amd64":   "linux/amd64",
		"linux/amd64,linux/sparc":   "error",
		"linux":                     "error",
		"windows/arm64,linux/arm64": "linux/arm64,windows/arm64",
	} {
		var p platforms
		got := "error"
		if err := p.Set(list); err == nil {
			got = p.String()
		}
		if got != want {
			t.Errorf("%q gives %q, want %q", list, got, want)
		}
	}
	if _, err := (platforms{{"darwin", "arm64"}}).linux(); err == nil {
		t.Error("an image for no platform of Linux is no error")
	}
}

func TestFolderWithFoldersIsNotEmptied(t *testing.T) {
	folder := t.TempDir()
	if err := os.MkdirAll(filepath.Join(folder, "src"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := clearFolder(folder); err == nil {
		t.Error("it was emptied")
	}
	if err := os.Rename(filepath.Join(folder, "src"), filepath.Join(folder, workFolder)); err != nil {
		t.Fatal(err)
	}
	if err := clearFolder(folder); err != nil {
		t.Error(err)
	}
	if err := clearFolder(folder); err != nil {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func TestNotesGroupCommitsByArea(t *testing.T) {
	got := groupSubjects([]string{
		"gateway/auth: check twice", "docs: say why", "gateway: answer at once", "Merge of something", "gateway, dashboard: rename keys",
	})
	const want = `
## docs

- say why

## gateway

- rename keys (gateway, dashboard)
- answer at once
- check twice (gateway/auth)

## other

- Merge of something
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
