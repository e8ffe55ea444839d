// SPDX-License-Identifier: Apache-2.0

package current

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
)

// clusterTool is a program that makes local clusters and brings images to their nodes.
type clusterTool struct {
	program string
	// load is the command that brings an archive to the nodes.
	load []string
}

// toolOfContext is the tool that a context belongs to, by the name that the tool gives; nil: none that is known.
func toolOfContext(name string) *clusterTool {
	switch {
	case strings.HasPrefix(name, "kind-"):
		return &clusterTool{"kind", []string{"load", "image-archive", "ARCHIVE", "--name", strings.TrimPrefix(name, "kind-")}}
	case strings.HasPrefix(name, "k3d-"):
		return &clusterTool{"k3d", []string{"image", "import", "ARCHIVE", "--cluster", strings.TrimPrefix(name, "k3d-")}}
	case name == "minikube" || strings.HasPrefix(name, "minikube-"):
		return &clusterTool{"minikube", []string{"image", "load", "ARCHIVE", "--profile", name}}
	case name == "docker-desktop" || name == "orbstack":
		return &clusterTool{"docker", []string{"load", "--input", "ARCHIVE"}}
	}
	return nil
}

// loadArchive brings an archive to the nodes.
func (t *clusterTool) loadArchive(ctx context.Context, archive string) error {
	args := make([]string, len(t.load))
	for i, arg := range t.load {
		args[i] = strings.Replace(arg, "ARCHIVE", archive, 1)
	}
	out, err := newCommand(ctx, t.program, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %s: %w\n%s", t.program, strings.Join(args, " "), err, out)
	}
	return nil
}

// loadWithTool brings the image to the nodes of the target, with the tool that made the cluster.
func loadWithTool(ctx context.Context, target Target, i Image) error {
	byRegistry := fmt.Sprintf("Put it into a registry that the nodes reach, and name it there: docker load --input %s; "+
		"docker tag %s REGISTRY/NAME:TAG; docker push REGISTRY/NAME:TAG; make demo CLUSTER=current IMAGE=REGISTRY/NAME:TAG", i.Archive, i.Name)
	t := toolOfContext(target.Context)
	if t == nil {
		return fmt.Errorf("the demo does not know how to bring its image to the nodes of the context %q. %s", target.Context, byRegistry)
	}
	if _, err := exec.LookPath(t.program); err != nil {
		return fmt.Errorf("the context %q is one of %s, which is not on the PATH. %s", target.Context, t.program, byRegistry)
	}
	if err := t.loadArchive(ctx, i.Archive); err != nil {
		return fmt.Errorf("the image does not get to the nodes: %w. %s", err, byRegistry)
	}
	return nil
}
