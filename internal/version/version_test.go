// SPDX-License-Identifier: Apache-2.0

package version

import (
	"runtime/debug"
	"testing"
)

func TestVersionIsThatOfTheReleaseElseOfTheModule(t *testing.T) {
	for _, c := range []struct {
		name, stamp, module, want string
	}{
		{"a release", "1.2.3", "v0.0.0-20261130163034-c1436b8f8f24", "1.2.3"},
		{"go install of a commit", "", "v0.0.0-20261130163034-c1436b8f8f24", "0.0.0-20261130163034-c1436b8f8f24"},
		{"go install of a tag", "", "v1.2.3", "1.2.3"},
		{"a checkout without a stamp", "", "(devel)", "dev"},
		{"a test", "", "", "dev"},
	} {
		t.Run(c.name, func(t *testing.T) {
			read := func() (*debug.BuildInfo, bool) { return &debug.BuildInfo{Main: debug.Module{Version: c.module}}, true }
			if got := findVersion(c.stamp, read); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	if got := findVersion("", func() (*debug.BuildInfo, bool) { return nil, false }); got != "dev" {
		t.Errorf("without build information: %q", got)
	}
}
