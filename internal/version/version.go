// SPDX-License-Identifier: Apache-2.0

package version

import (
	"runtime/debug"
	"strings"
)

// stamp is the version of a release. A build of one sets it with
//
//	-ldflags "-X bbmcp.quietstack.com/webhooks/internal/version.stamp=1.2.3"
var stamp string //nolint:gochecknoglobals // the linker can only set a package-level variable

// Version is what the binary was built from, without a leading "v": a release, else the version of the module that the
// go command wrote into it, as go install does, else "dev". Nothing assigns to it at run time.
var Version = findVersion(stamp, debug.ReadBuildInfo) //nolint:gochecknoglobals // it is one for the whole process

func findVersion(stamp string, read func() (*debug.BuildInfo, bool)) string {
	if stamp != "" {
		return stamp
	}
	if info, ok := read(); ok && strings.HasPrefix(info.Main.Version, "v") {
		return strings.TrimPrefix(info.Main.Version, "v")
	}
	return "dev"
}
