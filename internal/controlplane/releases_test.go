// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestOfficialReleases(t *testing.T) {
	r, err := findRecipe(t.Context())
	if err != nil {
		t.Fatal(err)
	}

	t.Run("the table is of the minor versions that are built", func(t *testing.T) {
		if releaseMinor(r.kubernetes) != releaseMinor(kubernetesRelease) || releaseMinor(r.etcd) != releaseMinor(etcdRelease) {
			t.Errorf("hack/controlplane/go.mod has Kubernetes %s and etcd %s, releases.go has %s and %s: change the versions there, and every digest",
				r.kubernetes, r.etcd, kubernetesRelease, etcdRelease)
		}
	})

	t.Run("Linux on both platforms builds nothing", func(t *testing.T) {
		for _, platform := range []string{"linux/amd64", "linux/arm64"} {
			var have []string
			for _, release := range officialReleases() {
				if release.platform == platform {
					have = append(have, release.Binaries...)
				}
			}
			slices.Sort(have)
			if !slices.Equal(have, []string{etcdBinary, apiServerBinary, controllerManagerBinary}) {
				t.Errorf("%s: releases have %q", platform, have)
			}
		}
	})

	t.Run("a version's patch does not count", func(t *testing.T) {
		for version, want := range map[string]string{"v1.37.2": "v1.37", "v1.37.0-rc.1": "v1.37", "v1.3.37": "v1.3", "v1": "v1", "": ""} {
			if got := releaseMinor(version); got != want {
				t.Errorf("%q: got %q, want %q", version, got, want)
			}
		}
	})

	// A file that has no digest yet is checked with one of zeros, so that a digest is all that is to be filled in.
	t.Run("every file can be downloaded but for its digest", func(t *testing.T) {
		for _, p := range publishedDigests() {
			file := kubernetesBinary(p.platform, p.binary)
			if p.binary == etcdBinary {
				file = etcdArchive(p.platform)
			}
			file.Digest = p.digest
			if p.digest == "" {
				file.Digest = strings.Repeat("0", 64)
			}
			if err := file.Validate(); err != nil {
				t.Errorf("%s on %s: %v", p.binary, p.platform, err)
			}
			if releaseMinor(file.version) != releaseMinor(r.version(p.binary)) || !slices.Equal(file.Binaries, []string{p.binary}) {
				t.Errorf("%s on %s: got %q of version %s", p.binary, p.platform, file.Binaries, file.version)
			}
			if u, err := url.Parse(file.URL); err != nil || u.Scheme != "https" || !slices.Contains(officialHosts(), u.Host) {
				t.Errorf("%s on %s: not from an official host: %s", p.binary, p.platform, file.URL)
			}
		}
	})

	t.Run("a digest has a source, and no file is there twice", func(t *testing.T) {
		seen := map[string]bool{}
		for _, p := range publishedDigests() {
			if (p.digest == "") != (p.source == "") {
				t.Errorf("%s on %s: digest %q, source %q", p.binary, p.platform, p.digest, p.source)
			}
			if key := p.platform + p.binary; seen[key] {
				t.Errorf("%s on %s is there twice", p.binary, p.platform)
			} else {
				seen[key] = true
			}
		}
	})

	t.Run("silence is noticed within five seconds", func(t *testing.T) {
		if patience >= 5*time.Second {
			t.Errorf("a host may be silent for %s", patience)
		}
	})

	t.Run("the page has the same table", func(t *testing.T) {
		page, err := os.ReadFile(filepath.Join(r.module, "README.md"))
		if err != nil {
			t.Fatal(err)
		}
		var want strings.Builder
		fmt.Fprintf(&want, "| platform | %s %s | %s %s | %s %s |\n| --- | --- | --- | --- |\n",
			apiServerBinary, kubernetesRelease, controllerManagerBinary, kubernetesRelease, etcdBinary, etcdRelease)
		for _, platform := range []string{"linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64"} {
			fmt.Fprintf(&want, "| %s |", platform)
			for _, binary := range []string{apiServerBinary, controllerManagerBinary, etcdBinary} {
				fmt.Fprintf(&want, " %s |", sourceOf(platform, binary))
			}
			want.WriteString("\n")
		}
		if !strings.Contains(string(page), want.String()) {
			t.Errorf("hack/controlplane/README.md does not have this table:\n%s", want.String())
		}
	})
}

// sourceOf is what the page says of a binary.
func sourceOf(platform, binary string) string {
	for _, p := range publishedDigests() {
		if p.platform == platform && p.binary == binary && p.digest != "" {
			return p.source
		}
	}
	return "builds"
}
