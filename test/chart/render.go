// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Folder is the chart's, from the root of the tree.
const Folder = "charts/bbmcp-webhooks"

// GroupVersion is what the API server serves once our CRDs are there.
const GroupVersion = "bbmcp.quietstack.com/v1alpha1"

// kubernetes is the version of the cluster that is rendered for.
const kubernetes = "v1.37.2"

// Release is what a user says beside the values. The zero value is a first
// installation as the README shows it.
type Release struct {
	// Name and Namespace are "bbmcp" and "bbmcp-system" where they are empty.
	Name, Namespace string
	// APIVersions are served beside those of Kubernetes itself.
	APIVersions []string
	// Reused says that there are no values but those given, as helm upgrade
	// --reuse-values has it: those of the release before, defaults included.
	Reused bool
}

// Rendered is what the chart makes.
type Rendered struct {
	// Objects are those of all templates, hooks included, sorted by Key.
	Objects []*unstructured.Unstructured
	// Notes are shown to who installs.
	Notes string
}

// Render renders the chart in the tree at root. It refuses what Helm refuses.
func Render(ctx context.Context, root string, values map[string]any, release Release) (Rendered, error) {
	r := rendererRequest{
		Chart: filepath.Join(root, Folder), Values: values, Kubernetes: kubernetes,
		Name: release.Name, Namespace: release.Namespace, APIVersions: release.APIVersions, Reused: release.Reused,
	}
	if r.Name == "" {
		r.Name = "bbmcp"
	}
	if r.Namespace == "" {
		r.Namespace = "bbmcp-system"
	}
	files, err := r.ask(ctx, root)
	if err != nil {
		return Rendered{}, fmt.Errorf("render chart: %w", err)
	}
	var out Rendered
	for _, name := range slices.Sorted(maps.Keys(files)) {
		switch {
		case strings.HasSuffix(name, "NOTES.txt"):
			out.Notes = files[name]
		case strings.HasSuffix(name, ".yaml"):
			found, err := DecodeObjects(strings.NewReader(files[name]))
			if err != nil {
				return Rendered{}, fmt.Errorf("render %s: %w", name, err)
			}
			out.Objects = append(out.Objects, found...)
		}
	}
	sortObjects(out.Objects)
	return out, nil
}
