// SPDX-License-Identifier: Apache-2.0

package current

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/test/imagearchive"
)

// Image is what the demo runs from: the product's programs and the receiver.
type Image struct {
	// Name is how Pods call it.
	Name string
	// Archive is a file of it that tools load; empty: the nodes have it or pull it.
	Archive string
}

// pullPolicy keeps nodes from pulling an image that was loaded: where it is missing, a registry that has the same name would
// decide what runs.
func (i Image) pullPolicy() corev1.PullPolicy {
	if i.Archive != "" {
		return corev1.PullNever
	}
	return corev1.PullIfNotPresent
}

// imageFolder is where archives are built, in the tree.
const imageFolder = "bin/demo"

// BuildImage builds the programs of the tree at root for an architecture and packs them, without docker. The name changes
// with the programs, so that nodes do not take an older one for it.
func BuildImage(ctx context.Context, root, arch string) (Image, error) {
	folder := filepath.Join(root, imageFolder)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return Image{}, fmt.Errorf("build the image: %w", err)
	}
	sum := sha256.New()
	var files []imagearchive.File
	for name, source := range map[string]string{"bbmcp-webhooks": ".", "dispatcher": "./cmd/dispatcher", "receiver": "./hack/receiver"} {
		program := filepath.Join(folder, arch, name)
		command := newCommand(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", program, source)
		command.Dir = root
		command.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOOS=linux", "GOARCH="+arch)
		if out, err := command.CombinedOutput(); err != nil {
			return Image{}, fmt.Errorf("build %s for linux/%s: %w\n%s", name, arch, err, out)
		}
		content, err := os.ReadFile(program)
		if err != nil {
			return Image{}, fmt.Errorf("build the image: %w", err)
		}
		files = append(files, imagearchive.File{Name: name, Mode: 0o755, Content: content})
	}
	imagearchive.SortFiles(files)
	for _, file := range files {
		sum.Write(file.Content)
	}
	image := Image{Name: "local/bbmcp-webhooks-demo:" + hex.EncodeToString(sum.Sum(nil))[:12], Archive: filepath.Join(folder, "image.tar")}
	if err := imagearchive.WriteImage(image.Archive, image.Name, arch, "/bbmcp-webhooks", files...); err != nil {
		return Image{}, fmt.Errorf("build the image: %w", err)
	}
	return image, nil
}

// imageArchitecture is the one that all nodes have.
func imageArchitecture(ctx context.Context, c client.Client) (string, error) {
	var nodes corev1.NodeList
	if err := c.List(ctx, &nodes); err != nil {
		return "", fmt.Errorf("list the nodes: %w", err)
	}
	found := map[string]bool{}
	for i := range nodes.Items {
		found[nodes.Items[i].Status.NodeInfo.Architecture] = true
	}
	if len(found) > 1 {
		return "", errors.New("the nodes are of several architectures: put an image for all of them into a registry, and name it: make demo CLUSTER=current IMAGE=REGISTRY/NAME:TAG")
	}
	for arch := range found {
		return arch, nil
	}
	return "", errors.New("the cluster has no node: nothing can run in it")
}

// splitImageName separates repository and tag of a name; one with a digest has neither.
func splitImageName(name string) (repository, tag string, err error) {
	if strings.Contains(name, "@") {
		return "", "", fmt.Errorf("the image %q is named by digest: name it by tag", name)
	}
	colon := strings.LastIndex(name, ":")
	if colon < 0 || colon < strings.LastIndex(name, "/") {
		return "", "", fmt.Errorf("the image %q has no tag: name it REGISTRY/NAME:TAG", name)
	}
	return name[:colon], name[colon+1:], nil
}

// prepareImage returns what the Pods run: the image of the user, or one that is built and brought to the nodes.
func (c *DemoCluster) prepareImage(ctx context.Context) (Image, error) {
	if c.options.Image != "" {
		return Image{Name: c.options.Image}, nil
	}
	arch, err := imageArchitecture(ctx, c.Client)
	if err != nil {
		return Image{}, err
	}
	c.options.Progress("building manager, gateway, dispatcher and receiver for linux/" + arch + " (minutes the first time, seconds later)")
	image, err := BuildImage(ctx, c.options.Root, arch)
	if err != nil {
		return Image{}, err
	}
	c.options.Progress("bringing the image " + image.Name + " to the nodes")
	return image, loadWithTool(ctx, c.options.Target, image)
}
