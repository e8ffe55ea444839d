// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"context"
	"fmt"
	"path/filepath"
)

// Kustomize builds a folder of the tree at root that has a kustomization, as
// kubectl kustomize does.
func Kustomize(ctx context.Context, root, folder string) ([]byte, error) {
	files, err := rendererRequest{Kustomization: filepath.Join(root, folder)}.ask(ctx, root)
	if err != nil {
		return nil, fmt.Errorf("kustomize %s: %w", folder, err)
	}
	return []byte(files["kustomization.yaml"]), nil
}
