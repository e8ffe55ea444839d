// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
)

func TestVersions(t *testing.T) {
	for version, good := range map[string]bool{
		"1.2.3": true, "0.1.0-rc.1": true, "1.2.3-0a": true,
		"": false, "v1.2.3": false, "1.2": false, "01.2.3": false, "1.2.3-01": false, "1.2.3+build": false, "dev": false,
		"1.2.3 ": false, //nolint:gocritic // the space is what is wrong
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

func TestFolderIsEmptiedIfAllInItIsOfARelease(t *testing.T) {
	for _, name := range []string{
		"bbmcp_1.2.3_linux_amd64.tar.gz", "bbmcp_1.2.3_windows_arm64.zip", "bbmcp-webhooks-1.2.3.tgz", "bbmcp-webhooks-1.2.3-image.oci.tar",
		"bbmcp-webhooks-1.2.3.spdx.json", "bbmcp-webhooks-1.2.3.intoto.jsonl", "bbmcp-webhooks-1.2.3.intoto.json", "bbmcp-webhooks.tar",
		"install.yaml", "eventtypes.yaml", "RELEASE-NOTES.md", "SHA256SUMS", "SHA256SUMS.sig", workFolder + "/overlay/kustomization.yaml",
	} {
		folder := folderWith(t, name)
		if err := clearReleaseFolder(folder); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(folder); err == nil {
			t.Errorf("%s stays", name)
		}
	}
	if err := clearReleaseFolder(filepath.Join(t.TempDir(), "none")); err != nil {
		t.Errorf("a folder that is not there: %v", err)
	}
}

func TestFolderWithOtherFilesIsNotEmptied(t *testing.T) {
	for _, name := range []string{
		"src/main.go", "main.go", "README.md", "notes.txt", "bbmcp", "bbmcp-webhooks", "SHA256SUMS.old", "my-install.yaml", ".env", "bbmcp-webhooks-1.2.3.tgz/file",
	} {
		folder := folderWith(t, "SHA256SUMS", name)
		if err := clearReleaseFolder(folder); err == nil {
			t.Errorf("a folder with %s was emptied", name)
		}
		for _, each := range []string{"SHA256SUMS", name} {
			if _, err := os.Stat(filepath.Join(folder, each)); err != nil {
				t.Error(err)
			}
		}
	}
}

// folderWith makes a folder with empty files.
func folderWith(t *testing.T, names ...string) string {
	t.Helper()
	folder := t.TempDir()
	for _, name := range names {
		file := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}

func TestNotesGroupCommitsByArea(t *testing.T) {
	got := notesByArea([]string{
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

func TestWhatIsNotCommittedIsSaidAndNotSigned(t *testing.T) {
	r := newRepository(t)
	for name, content := range map[string]string{
		"LICENSE": "a licence", "go.sum": "", "hack/release/go.sum": "",
		"charts/bbmcp-webhooks/Chart.yaml":  "apiVersion: v2\nname: bbmcp-webhooks\nversion: 0.1.0\n",
		"charts/bbmcp-webhooks/values.yaml": "image: {repository: registry.example/some/image}\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(r.folder, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		r.write(name, content)
	}
	r.git("add", ".")
	r.git("commit", "--quiet", "--message", "all")
	key := must(x509.MarshalPKCS8PrivateKey(must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)))(t)
	own := must(os.ReadFile(must(os.Executable())(t)))(t)
	o := releaseOptions{tree: r.folder, out: t.TempDir(), version: "1.2.3", dirty: true}
	signed := o
	signed.key = writeKey(t, "PRIVATE KEY", key)
	for _, changed := range []bool{false, true} {
		if changed {
			r.write("LICENSE", "another")
		}
		if _, err := newRelease(t.Context(), signed); (err != nil) != changed {
			t.Errorf("changed: %t: with a key: %v", changed, err)
		}
		made := must(newRelease(t.Context(), o))(t)
		made.image.name, made.imageDigest.Hex = "registry.example/some/image:1.2.3", strings.Repeat("0", 64)
		made.programs = []builtProgram{{content: own}}
		made.chart = namedImage{"registry.example/charts/some/image:1.2.3", nil, empty.Image}
		if err := errors.Join(made.makeNotes(t.Context()), made.makeProvenance(t.Context())); err != nil {
			t.Fatal(err)
		}
		for name, said := range map[string]string{"RELEASE-NOTES.md": "changes that are not committed", "bbmcp-webhooks-1.2.3.intoto.json": `"uncommittedChanges":true`} {
			text := string(must(os.ReadFile(filepath.Join(o.out, name)))(t))
			if strings.Contains(text, said) != changed {
				t.Errorf("changed: %t: %s is\n%s", changed, name, text)
			}
		}
	}
}
