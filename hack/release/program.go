// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
)

// module is the path of the product's Go module.
const module = "bbmcp.quietstack.com/webhooks"

// program is a program of the product. Its package is named from the root of the tree.
type program struct{ name, pkg string }

func commandLine() program { return program{"bbmcp", "./cmd/bbmcp"} }

// imagePrograms are those that the image holds.
func imagePrograms() []program {
	return []program{{"bbmcp-webhooks", "."}, {"dispatcher", "./cmd/dispatcher"}}
}

// binary is a program that was built for a platform.
type binary struct {
	program
	platform
	content []byte
}

// file is the name that the program has on its platform.
func (b binary) file() string {
	if b.os == "windows" {
		return b.name + ".exe"
	}
	return b.name
}

// builder builds programs of the tree. Nothing of the machine gets into them: no paths, no stamp of the checkout, no
// id of the build, no settings of the user.
type builder struct{ tree, version, work string }

func (b builder) build(ctx context.Context, p program, target platform) (binary, error) {
	built := binary{program: p, platform: target}
	out := filepath.Join(b.work, target.os+"-"+target.arch, built.file())
	environment := []string{
		"CGO_ENABLED=0", "GOOS=" + target.os, "GOARCH=" + target.arch, "GOAMD64=v1", "GOARM64=v8.0",
		"GOFLAGS=", "GOEXPERIMENT=", "GOWORK=off", "GODEBUG=",
	}
	flags := fmt.Sprintf("-s -w -buildid= -X %s/internal/version.stamp=%s", module, b.version)
	if _, err := output(ctx, b.tree, environment, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", out, p.pkg); err != nil {
		return binary{}, err
	}
	var err error
	built.content, err = os.ReadFile(out)
	return built, err
}
