// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/childprocess"
)

// reportEvery is how often a long step says that it is still at work.
const reportEvery = 15 * time.Second

// Modules and packages the binaries come from.
const (
	kubernetesModule = "k8s.io/kubernetes"
	etcdModule       = "go.etcd.io/etcd/server/v3"
	versionPackage   = "k8s.io/component-base/version"
)

// recipe is how the binaries are built: the tools module and what it pins.
type recipe struct {
	module     string // folder of the tools module
	kubernetes string // version of k8s.io/kubernetes, "v1.37.2"
	etcd       string // version of the etcd server
	goVersion  string // "go1.26.8"
	digest     string // of everything that decides on the binaries and is not named above
}

// findRecipe reads the tools module hack/controlplane beside the go.mod that governs the working directory.
func findRecipe(ctx context.Context) (recipe, error) {
	out, err := recipeGoCommand(ctx, "", "env", "GOMOD")
	if err != nil {
		return recipe{}, err
	}
	gomod := strings.TrimSpace(string(out))
	if gomod == "" || gomod == os.DevNull {
		return recipe{}, errors.New("the working directory is in no Go module, so hack/controlplane cannot be found")
	}
	return readRecipe(ctx, filepath.Join(filepath.Dir(gomod), "hack", "controlplane"))
}

func readRecipe(ctx context.Context, module string) (recipe, error) {
	if _, err := os.Stat(filepath.Join(module, "go.mod")); err != nil {
		return recipe{}, fmt.Errorf("tools module: %w", err)
	}
	goVersion, err := recipeGoCommand(ctx, module, "env", "GOVERSION")
	if err != nil {
		return recipe{}, err
	}
	gomod, err := recipeGoCommand(ctx, module, "mod", "edit", "-json")
	if err != nil {
		return recipe{}, err
	}
	var parsed struct {
		Require []struct{ Path, Version string }
	}
	if err := json.Unmarshal(gomod, &parsed); err != nil {
		return recipe{}, fmt.Errorf("parse go.mod of %q: %w", module, err)
	}
	r := recipe{module: module, goVersion: strings.TrimSpace(string(goVersion))}
	for _, req := range parsed.Require {
		switch req.Path {
		case kubernetesModule:
			r.kubernetes = req.Version
		case etcdModule:
			r.etcd = req.Version
		}
	}
	if r.kubernetes == "" || r.etcd == "" {
		return recipe{}, fmt.Errorf("go.mod of %q must require %s and %s", module, kubernetesModule, etcdModule)
	}
	sum := sha256.New()
	sum.Write(gomod)
	fmt.Fprintln(sum, r.buildArgs("", binaryNames()), r.buildEnv())
	r.digest = hex.EncodeToString(sum.Sum(nil))[:12]
	return r, nil
}

func (r recipe) key() string {
	return strings.Join([]string{
		"kubernetes-" + r.kubernetes, "etcd-" + r.etcd, r.goVersion, runtime.GOOS, runtime.GOARCH, r.digest,
	}, "-")
}

// version of the project that a binary is of.
func (r recipe) version(name string) string {
	if name == etcdBinary {
		return r.etcd
	}
	return r.kubernetes
}

func (r recipe) buildArgs(dir string, names []string) []string {
	major, rest, _ := strings.Cut(strings.TrimPrefix(r.kubernetes, "v"), ".")
	minor, _, _ := strings.Cut(rest, ".")
	ldflags := fmt.Sprintf("-s -w -X %[1]s.gitVersion=%[2]s -X %[1]s.gitMajor=%[3]s -X %[1]s.gitMinor=%[4]s",
		versionPackage, r.kubernetes, major, minor)
	args := []string{
		"build", "-v", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags", ldflags,
		"-o", dir + string(filepath.Separator),
	}
	for _, name := range names {
		if name == etcdBinary {
			args = append(args, etcdModule)
		} else {
			args = append(args, kubernetesModule+"/cmd/"+name)
		}
	}
	return args
}

// buildEnv pins what the user's environment may otherwise set for other builds.
func (r recipe) buildEnv() []string {
	return []string{"CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off", "GOOS=" + runtime.GOOS, "GOARCH=" + runtime.GOARCH}
}

func (r recipe) build(ctx context.Context, dir string, names []string, progress func(string)) error {
	start := time.Now()
	progress(fmt.Sprintf("building %s with %s; the first time takes minutes", binariesWithVersions(names, r.version), r.goVersion))
	var out recipeOutput
	cmd := exec.Command("go", r.buildArgs(dir, names)...)
	cmd.Dir = r.module
	cmd.Env = append(os.Environ(), r.buildEnv()...)
	cmd.Stderr = &out
	cmd.WaitDelay = 5 * time.Second
	p, err := childprocess.Start("go build", "", cmd)
	if err != nil {
		return err
	}
	ticker := time.NewTicker(reportEvery)
	defer ticker.Stop()
	for {
		select {
		case <-p.Done():
			if p.Err() != nil {
				return fmt.Errorf("go build in %q: %w\n%s", r.module, p.Err(), out.tail())
			}
			progress(fmt.Sprintf("built %s in %s", strings.Join(names, ", "), elapsed(start)))
			if !slices.Contains(names, etcdBinary) {
				return nil
			}
			// The module path of etcd ends in "server/v3", and the go command names a binary after the part before a version.
			return os.Rename(filepath.Join(dir, "server"), filepath.Join(dir, etcdBinary))
		case <-ctx.Done():
			p.Stop(0)
			return fmt.Errorf("go build in %q: %w", r.module, ctx.Err())
		case <-ticker.C:
			progress(fmt.Sprintf("building the control plane: %s, %s", out.summary(), elapsed(start)))
		}
	}
}

// recipeOutput follows what `go build -v` prints: a line for each module it downloads and each package it compiles.
type recipeOutput struct {
	mu                   sync.Mutex
	partial              []byte
	last                 []string
	downloaded, compiled int
}

var _ io.Writer = (*recipeOutput)(nil)

// Write counts the whole lines in b and keeps the last ones for an error message.
func (o *recipeOutput) Write(b []byte) (int, error) {
	const keep = 30
	o.mu.Lock()
	defer o.mu.Unlock()
	o.partial = append(o.partial, b...)
	for {
		line, rest, found := bytes.Cut(o.partial, []byte("\n"))
		if !found {
			return len(b), nil
		}
		o.partial = rest
		text := string(line)
		if strings.HasPrefix(text, "go: downloading ") {
			o.downloaded++
			continue
		}
		if text != "" && !strings.ContainsAny(text, " :#") {
			o.compiled++
			continue
		}
		o.last = append(o.last, text)
		o.last = o.last[max(0, len(o.last)-keep):]
	}
}

func (o *recipeOutput) summary() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.compiled == 0 {
		return fmt.Sprintf("%d modules downloaded", o.downloaded)
	}
	return fmt.Sprintf("%d packages compiled", o.compiled)
}

func (o *recipeOutput) tail() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(append(o.last, string(o.partial)), "\n")
}

// recipeGoCommand runs a short go command in dir ("" for the working directory) and returns what it prints.
func recipeGoCommand(ctx context.Context, dir string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return nil, fmt.Errorf("go %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(exit.Stderr))
	}
	if err != nil {
		return nil, fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return out, nil
}
