// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
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
	environment, err := sources(ctx, b.tree)
	if err != nil {
		return binary{}, err
	}
	environment = append(environment,
		"CGO_ENABLED=0", "GOOS="+target.os, "GOARCH="+target.arch, "GOAMD64=v1", "GOARM64=v8.0",
		"GOENV=off", "GOFLAGS=", "GOEXPERIMENT=", "GODEBUG=", "GOFIPS140=off", "GOWORK=off", "GO111MODULE=on", "GOTOOLCHAIN=local",
	)
	flags := fmt.Sprintf("-s -w -buildid= -X %s/internal/version.stamp=%s", module, b.version)
	if _, err := output(ctx, b.tree, environment, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", out, p.pkg); err != nil {
		return binary{}, err
	}
	built.content, err = os.ReadFile(out)
	return built, err
}

// sources are the settings of Go that say where modules and results are to be had, as variables of the environment.
// They are all that is kept of what go env -w wrote: Go takes an empty variable for one that is not set, and looks there.
func sources(ctx context.Context, tree string) ([]string, error) {
	names := []string{"GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOPRIVATE", "GOINSECURE", "GOAUTH", "GOMODCACHE", "GOCACHE"}
	text, err := output(ctx, tree, nil, "go", append([]string{"env", "-json"}, names...)...)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	if err := json.Unmarshal([]byte(text), &values); err != nil {
		return nil, fmt.Errorf("go env: %w", err)
	}
	environment := make([]string, len(names))
	for i, name := range names {
		environment[i] = name + "=" + values[name]
	}
	return environment, nil
}

// toolchain is the version of Go that built all programs, with its experiments. This program must be of the same: what
// it packs and compresses depends on its own.
func toolchain(programs []binary) (string, error) {
	for _, p := range programs {
		info, err := buildinfo.Read(bytes.NewReader(p.content))
		if err != nil {
			return "", fmt.Errorf("version of Go of %s for %s: %w", p.name, p.platform, err)
		}
		if own := runtime.Version(); info.GoVersion != own {
			return "", fmt.Errorf("%s for %s was built by %s, this program by %s", p.name, p.platform, info.GoVersion, own)
		}
	}
	return runtime.Version(), nil
}
