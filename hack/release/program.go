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

func commandLineProgram() program { return program{"bbmcp", "./cmd/bbmcp"} }

// imagePrograms are those that the image holds.
func imagePrograms() []program {
	return []program{{"bbmcp-webhooks", "."}, {"dispatcher", "./cmd/dispatcher"}}
}

// builtProgram is a program that was built for a platform.
type builtProgram struct {
	program
	platform
	content []byte
}

// fileName is the name that the program has on its platform.
func (b builtProgram) fileName() string {
	if b.os == "windows" {
		return b.name + ".exe"
	}
	return b.name
}

// programBuilder builds programs of the tree. Nothing of the machine gets into them: no paths, no stamp of the checkout, no
// id of the build, no settings of the user.
type programBuilder struct{ tree, version, work string }

func (b programBuilder) build(ctx context.Context, p program, target platform) (builtProgram, error) {
	built := builtProgram{program: p, platform: target}
	out := filepath.Join(b.work, target.os+"-"+target.arch, built.fileName())
	environment, err := programEnvironment(ctx, b.tree)
	if err != nil {
		return builtProgram{}, err
	}
	environment = append(environment,
		"CGO_ENABLED=0", "GOOS="+target.os, "GOARCH="+target.arch, "GOAMD64=v1", "GOARM64=v8.0",
		"GOENV=off", "GOFLAGS=", "GOEXPERIMENT=", "GODEBUG=", "GOFIPS140=off", "GOWORK=off", "GO111MODULE=on", "GOTOOLCHAIN=local",
	)
	flags := fmt.Sprintf("-s -w -buildid= -X %s/internal/version.stamp=%s", module, b.version)
	if _, err := commandOutput(ctx, b.tree, environment, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", flags, "-o", out, p.pkg); err != nil {
		return builtProgram{}, err
	}
	built.content, err = os.ReadFile(out)
	return built, err
}

// programEnvironment is the settings of Go that say where modules and results are to be had, as variables of the
// environment. They are all that is kept of what go env -w wrote: Go takes an empty variable for one that is not set, and
// looks there.
func programEnvironment(ctx context.Context, tree string) ([]string, error) {
	names := []string{"GOPROXY", "GOSUMDB", "GONOSUMDB", "GONOPROXY", "GOPRIVATE", "GOINSECURE", "GOAUTH", "GOMODCACHE", "GOCACHE"}
	text, err := commandOutput(ctx, tree, nil, "go", append([]string{"env", "-json"}, names...)...)
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

// programsToolchain is the version of Go that built all programs, with its experiments. This program must be of the same: what
// it packs and compresses depends on its own.
func programsToolchain(programs []builtProgram) (string, error) {
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

func (r *release) newProgramBuilder() programBuilder {
	return programBuilder{tree: r.tree, version: r.version, work: r.work}
}

// makeCommandLine makes an archive of bbmcp for each platform.
func (r *release) makeCommandLine(ctx context.Context) error {
	for _, target := range r.platforms {
		built, err := r.newProgramBuilder().build(ctx, commandLineProgram(), target)
		if err != nil {
			return err
		}
		r.programs = append(r.programs, built)
		pack, ending := packTarGzip, ".tar.gz"
		if target.os == "windows" {
			pack, ending = packZip, ".zip"
		}
		folder := fmt.Sprintf("%s_%s_%s_%s", built.name, r.version, target.os, target.arch)
		archive, err := pack([]archiveEntry{
			{folder + "/LICENSE", 0o644, r.license},
			{folder + "/" + built.fileName(), 0o755, built.content},
		}, r.commit.time)
		if err != nil {
			return err
		}
		if err := r.writeFile(folder+ending, archive); err != nil {
			return err
		}
	}
	return nil
}
