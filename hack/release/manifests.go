// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// makeManifests makes the files for kubectl: everything with the image by its digest, and the event types.
func (r *release) makeManifests(context.Context) error {
	overlay := filepath.Join(r.work, "overlay")
	if err := os.Mkdir(overlay, 0o755); err != nil {
		return err
	}
	config, err := filepath.Abs(filepath.Join(r.tree, "config"))
	if err != nil {
		return err
	}
	relative, err := filepath.Rel(overlay, config)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("resources: [%q]\nimages: [{name: %q, digest: %q}]\n", filepath.ToSlash(relative), r.repository, r.imageDigest)
	if err := os.WriteFile(filepath.Join(overlay, "kustomization.yaml"), []byte(text), 0o644); err != nil {
		return err
	}
	for name, folder := range map[string]string{"install.yaml": overlay, "eventtypes.yaml": filepath.Join(config, "eventtypes")} {
		built, err := buildManifest(folder)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := r.writeFile(name, built); err != nil {
			return err
		}
	}
	return nil
}

func buildManifest(folder string) ([]byte, error) {
	built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), folder)
	if err != nil {
		return nil, err
	}
	return built.AsYaml()
}
