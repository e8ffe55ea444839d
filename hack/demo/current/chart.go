// SPDX-License-Identifier: Apache-2.0

package current

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"bbmcp.quietstack.com/webhooks/internal/controlplane"
	"bbmcp.quietstack.com/webhooks/test/chart"
)

// anyAddress stands for those of the receiver until they are known. No host has it.
const anyAddress = "192.0.2.1"

// chartValues are what the chart is installed with: one replica of each, and the receiver within reach.
func chartValues(image Image, reachable ...string) (map[string]any, error) {
	repository, tag, err := splitImageName(image.Name)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"image":        map[string]any{"repository": repository, "tag": tag, "pullPolicy": string(image.pullPolicy())},
		"commonLabels": map[string]any{label: "true"},
		"crds":         map[string]any{"keep": false},
		"manager":      map[string]any{"replicas": 1},
		"gateway":      map[string]any{"replicas": 1},
		"dispatcher":   map[string]any{"flags": map[string]any{"allow-http": true, "allow-cidr": reachable}},
	}, nil
}

// renderChart returns what the chart of the tree at root makes.
func renderChart(ctx context.Context, root string, image Image, reachable ...string) ([]*unstructured.Unstructured, error) {
	values, err := chartValues(image, reachable...)
	if err != nil {
		return nil, err
	}
	rendered, err := chart.Render(ctx, root, values, chart.Release{
		Name: Namespace, Namespace: Namespace, APIVersions: []string{chart.GroupVersion},
	})
	return rendered.Objects, err
}

// applyChart applies what the chart makes. It would take over objects of others: checkOwnership comes first.
func applyChart(ctx context.Context, config *rest.Config, objects []*unstructured.Unstructured) error {
	var all bytes.Buffer
	for _, object := range objects {
		text, err := yaml.Marshal(object.Object)
		if err != nil {
			return fmt.Errorf("chart: %s: %w", chart.ObjectKey(object), err)
		}
		all.WriteString("---\n")
		all.Write(text)
	}
	folder, err := os.MkdirTemp("", "bbmcp-demo-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	file := filepath.Join(folder, "chart.yaml")
	if err := os.WriteFile(file, all.Bytes(), 0o600); err != nil {
		return err
	}
	return controlplane.Apply(ctx, config, file)
}
