// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const (
	// module holds the program that renders; see its comment.
	module = "hack/tools/helm"
	// program is where it is kept once it is built.
	program = "bin/render"
)

// rendererRequest is what the program reads.
type rendererRequest struct {
	Kustomization, Chart string
	Values               map[string]any
	Name, Namespace      string
	Kubernetes           string
	APIVersions          []string
	Reused               bool
}

// ask returns the files that the program makes.
func (r rendererRequest) ask(ctx context.Context, root string) (map[string]string, error) {
	if err := buildRenderer(ctx, root); err != nil {
		return nil, err
	}
	// Go keeps the result of a test until a file changes that the test itself has looked at, not the program.
	for _, folder := range []string{"charts", "config"} {
		newestSource(filepath.Join(root, folder))
	}
	input, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	var output, complaint bytes.Buffer
	command := exec.CommandContext(ctx, filepath.Join(root, program))
	command.Stdin, command.Stdout, command.Stderr = bytes.NewReader(input), &output, &complaint
	if err := command.Run(); err != nil {
		return nil, errors.Join(errors.New(strings.TrimSpace(complaint.String())), err)
	}
	var files map[string]string
	if err := json.Unmarshal(output.Bytes(), &files); err != nil {
		return nil, fmt.Errorf("read what %s prints: %w", program, err)
	}
	return files, nil
}

// buildRenderer builds the program unless it is newer than what it is built from. It
// appears at once, so that processes that build at the same time do not mind.
func buildRenderer(ctx context.Context, root string) error {
	built, err := os.Stat(filepath.Join(root, program))
	if err == nil && built.ModTime().After(newestSource(filepath.Join(root, module))) {
		return nil
	}
	folder, err := filepath.Abs(filepath.Join(root, filepath.Dir(program)))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	temporary, err := os.MkdirTemp(folder, "render-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(temporary) }()
	out := filepath.Join(temporary, filepath.Base(program))
	command := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", out, ".")
	command.Dir = filepath.Join(root, module)
	command.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s: %w\n%s", module, err, text)
	}
	return os.Rename(out, filepath.Join(folder, filepath.Base(program)))
}

// newestSource is when a file of a folder last changed.
func newestSource(folder string) time.Time {
	var latest time.Time
	_ = filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil //nolint:nilerr // the build says so
		}
		if info, err := entry.Info(); err == nil && info.ModTime().After(latest) {
			latest = info.ModTime()
		}
		return nil
	})
	return latest
}
