// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"path/filepath"
	"slices"
	"testing"
)

// kustomization is the part of such a file that we use.
type kustomization struct {
	APIVersion string   `json:"apiVersion"`
	Kind       string   `json:"kind"`
	Resources  []string `json:"resources"`
	Images     []image  `json:"images,omitempty"`
}

// image is what stands in for an image's name in the manifests.
type image struct {
	Name    string `json:"name"`
	NewName string `json:"newName"`
	NewTag  string `json:"newTag"`
}

func TestKustomizationsNameEveryFile(t *testing.T) {
	for _, c := range []struct{ folder, pattern string }{
		{"config/crd", "bases/*.yaml"},
		{"config/namespace", "*.yaml"},
		{"config/rbac", "*.yaml"},
		{"config/policies", "*.yaml"},
		{"config/manager", "*.yaml"},
		{"config/gateway", "*.yaml"},
		{"config/eventtypes", "*.yaml"},
	} {
		t.Run(c.folder, func(t *testing.T) {
			var want []string
			for _, file := range glob(t, filepath.Join(c.folder, c.pattern)) {
				name, err := filepath.Rel(filepath.Join(root, c.folder), file)
				if err != nil {
					t.Fatal(err)
				}
				if name != "kustomization.yaml" {
					want = append(want, name)
				}
			}
			got := load[kustomization](t, filepath.Join(root, c.folder, "kustomization.yaml"))[0].Resources
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("resources %q, files %q", got, want)
			}
		})
	}
}
