// SPDX-License-Identifier: Apache-2.0

package version

// Version is the release the binary was built from, without a leading "v".
// A release build sets it with
//
//	-ldflags "-X bbmcp.quietstack.com/webhooks/internal/version.Version=1.2.3"
//
// and nothing assigns to it at run time; other builds call themselves "dev".
var Version = "dev" //nolint:gochecknoglobals // the linker can only set a package-level variable
