// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// environmentFile is where shells find the demo, in the tree: the same for every
// run, so that pages can name it.
const environmentFile = "bin/demo.env"

// writeEnvironment writes what a shell needs to use the demo, the token among it,
// for nobody else to read. forget removes it.
func (d *demo) writeEnvironment() (forget func() error, err error) {
	path := filepath.Join(d.root, environmentFile)
	text := fmt.Sprintf(`# Of the demo that runs now; it takes this file away when it stops.
export KUBECONFIG='%s'
export BBMCP_API_URL='%s'
export BBMCP_API_KEY='%s'
# A receiver that answers 200 to every POST; $ENDPOINT/_received shows what came.
export ENDPOINT='%s'
# The same receiver as urls of webhooks name it.
export ENDPOINT_OF_WEBHOOKS='%s'
`, d.kubeconfig, d.gateway, d.token, d.receiver, d.endpoint)
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return nil, fmt.Errorf("write %s: %w", environmentFile, err)
	}
	// Shells that read it meanwhile find the old file or the new one.
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("write %s: %w", environmentFile, err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return nil, fmt.Errorf("write %s: %w", environmentFile, err)
	}
	return func() error { return d.forgetEnvironment(path, text) }, nil
}

// forgetEnvironment removes the file unless another demo has written it since.
func (d *demo) forgetEnvironment(path, ours string) error {
	if now, err := os.ReadFile(path); err != nil || string(now) != ours {
		return nil //nolint:nilerr // it is gone, or not ours
	}
	return os.Remove(path)
}
