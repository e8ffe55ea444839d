// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"bbmcp.quietstack.com/webhooks/test/chart"
)

// installed are the Pods of the chart by role, manager and gateway.
type installed map[string]pod

// pod is what of a Pod decides how its processes run.
type pod struct {
	account string
	// args are those of the main container, sidecar those of the dispatcher.
	args, sidecar []string
	// memory and sidecarMemory are their limits, in bytes; 0: none.
	memory, sidecarMemory int64
}

// renderInstalled remembers what the chart runs, writes the rest of what it installs
// to a file, and returns its path.
func (s *Stack) renderInstalled(ctx context.Context, root string, values map[string]any) (string, error) {
	rendered, err := chart.Render(ctx, root, values, chart.Release{
		Namespace: SystemNamespace, APIVersions: []string{chart.GroupVersion},
	})
	if err != nil {
		return "", err
	}
	// There are no nodes that these would say something to.
	forNodes := []string{"Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget", "Service"}
	s.installed = installed{}
	var out bytes.Buffer
	for _, object := range rendered.Objects {
		if object.GetKind() == "Deployment" {
			var deployment appsv1.Deployment
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &deployment); err != nil {
				return "", fmt.Errorf("chart: %s: %w", chart.ObjectKey(object), err)
			}
			s.installed.add(deployment)
		}
		if slices.Contains(forNodes, object.GetKind()) {
			continue
		}
		text, err := yaml.Marshal(object.Object)
		if err != nil {
			return "", fmt.Errorf("chart: %s: %w", chart.ObjectKey(object), err)
		}
		out.WriteString("---\n")
		out.Write(text)
	}
	for _, role := range []string{"manager", "gateway"} {
		if s.installed[role].account == "" {
			return "", fmt.Errorf("chart: no Deployment runs the %s", role)
		}
	}
	file := filepath.Join(s.Dir, "chart.yaml")
	return file, os.WriteFile(file, out.Bytes(), 0o600)
}

func (i installed) add(deployment appsv1.Deployment) {
	spec := deployment.Spec.Template.Spec
	found := pod{account: spec.ServiceAccountName}
	for _, container := range spec.InitContainers {
		if container.Name == "dispatcher" {
			found.sidecar = container.Args
			found.sidecarMemory = container.Resources.Limits.Memory().Value()
		}
	}
	for _, container := range spec.Containers {
		found.args = container.Args
		found.memory = container.Resources.Limits.Memory().Value()
		i[container.Name] = found
	}
}
