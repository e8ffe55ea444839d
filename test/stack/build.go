// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// Binaries are the programs under test.
type Binaries struct {
	Operator, Dispatcher, Receiver string
}

// Build compiles the programs from the tree into dir, with the flags of a plain
// "go build", so that Go's cache serves both and it is quick when nothing
// changed.
func Build(ctx context.Context, dir string, progress func(string)) (Binaries, error) {
	root, err := Root(ctx)
	if err != nil {
		return Binaries{}, err
	}
	started := time.Now()
	progress("building manager, dispatcher and receiver (minutes the first time, seconds later)")
	targets := map[string]string{"bbmcp-webhooks": ".", "dispatcher": "./cmd/dispatcher", "receiver": "./hack/receiver"}
	for name, pkg := range targets {
		command := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(dir, name), pkg)
		command.Dir = root
		if out, err := command.CombinedOutput(); err != nil {
			return Binaries{}, fmt.Errorf("build %s: %w\n%s", name, err, out)
		}
	}
	progress(fmt.Sprintf("built manager, dispatcher and receiver in %s", time.Since(started).Round(100*time.Millisecond)))
	return Binaries{
		Operator:   filepath.Join(dir, "bbmcp-webhooks"),
		Dispatcher: filepath.Join(dir, "dispatcher"),
		Receiver:   filepath.Join(dir, "receiver"),
	}, nil
}

// Root is the folder of the module that the working directory is in.
func Root(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", "GOMOD").Output()
	if err != nil {
		return "", fmt.Errorf("find the module: %w", err)
	}
	file := strings.TrimSpace(string(out))
	if file == "" || file == os.DevNull {
		return "", errors.New("find the module: not inside one; run this from a checkout")
	}
	return filepath.Dir(file), nil
}
