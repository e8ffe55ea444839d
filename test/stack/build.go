// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
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

// builtFolder, in the tree, keeps what was built: Go links a program anew only
// where it does not find it as it would become.
const builtFolder = "bin/stack"

// Build compiles the programs from the tree and puts them into dir, with the
// flags of a plain "go build", so that Go's cache serves both and it is quick
// when nothing changed. What is in dir stays as it is, whoever builds later.
func Build(ctx context.Context, dir string, progress func(string)) (Binaries, error) {
	root, err := Root(ctx)
	if err != nil {
		return Binaries{}, err
	}
	return buildBinaries(ctx, root, dir, progress)
}

// buildBinaries is Build of the tree at root.
func buildBinaries(ctx context.Context, root, dir string, progress func(string)) (Binaries, error) {
	started := time.Now()
	progress("building manager, gateway, dispatcher and receiver (minutes the first time, seconds later)")
	built := filepath.Join(root, builtFolder)
	programs := []string{".", "./cmd/dispatcher", "./hack/receiver"}
	if err := lookAtBinarySources(ctx, root, programs); err != nil {
		return Binaries{}, err
	}
	command := exec.CommandContext(ctx, "go", append([]string{"build", "-o", built + string(filepath.Separator)}, programs...)...)
	command.Dir = root
	if out, err := command.CombinedOutput(); err != nil {
		return Binaries{}, fmt.Errorf("build manager, gateway, dispatcher and receiver: %w\n%s", err, out)
	}
	binaries := Binaries{
		Operator:   filepath.Join(dir, "bbmcp-webhooks"),
		Dispatcher: filepath.Join(dir, "dispatcher"),
		Receiver:   filepath.Join(dir, "receiver"),
	}
	for name, to := range map[string]string{"webhooks": binaries.Operator, "dispatcher": binaries.Dispatcher, "receiver": binaries.Receiver} {
		if err := placeBinary(filepath.Join(built, name), to); err != nil {
			return Binaries{}, err
		}
	}
	progress(fmt.Sprintf("built manager, gateway, dispatcher and receiver in %s", time.Since(started).Round(100*time.Millisecond)))
	return binaries, nil
}

// lookAtBinarySources looks at every file of the tree that the programs are made of. Go keeps the result of a test for as long
// as the files are the same that the test itself has looked at; those that "go build" reads for it do not count, so that
// a change of the product would not be tested.
func lookAtBinarySources(ctx context.Context, root string, programs []string) error {
	const files = `{{with .Module}}{{if .Main}}{{range $.GoFiles}}{{$.Dir}}/{{.}}{{"\n"}}{{end}}{{range $.EmbedFiles}}{{$.Dir}}/{{.}}{{"\n"}}{{end}}{{end}}{{end}}`
	command := exec.CommandContext(ctx, "go", append([]string{"list", "-deps", "-f", files}, programs...)...)
	command.Dir = root
	out, err := command.Output()
	if err != nil {
		return fmt.Errorf("list sources: %w", err)
	}
	for _, file := range append(strings.Fields(string(out)), filepath.Join(root, "go.mod"), filepath.Join(root, "go.sum")) {
		if _, err := os.Stat(file); err != nil {
			return err
		}
	}
	return nil
}

// placeBinary puts a program where nobody replaces it: as a link to the same file,
// which a later build does not touch, or as a copy.
func placeBinary(from, to string) error {
	if os.Link(from, to) == nil {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
