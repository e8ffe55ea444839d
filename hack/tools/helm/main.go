// SPDX-License-Identifier: Apache-2.0

// Command render renders a chart with Helm's engine and its check of the values,
// or builds a kustomization, for test/chart. It is a program of its own so that
// what the product is built from holds nothing of either.
//
// It reads one request in JSON and answers in JSON: files, by name.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

type request struct {
	// Kustomization is a folder to build. Empty: Chart is one to render.
	Kustomization, Chart string
	Values               map[string]any
	Name, Namespace      string
	// Kubernetes is the version of the cluster; APIVersions are served beside its own.
	Kubernetes  string
	APIVersions []string
	// Reused says that Values are all there are, as helm upgrade --reuse-values has it.
	Reused bool
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	var r request
	if err := json.NewDecoder(os.Stdin).Decode(&r); err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	files, err := r.files()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(files)
}

func (r request) files() (map[string]string, error) {
	switch {
	case r.Kustomization != "":
		built, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), r.Kustomization)
		if err != nil {
			return nil, err
		}
		text, err := built.AsYaml()
		return map[string]string{"kustomization.yaml": string(text)}, err
	case r.Chart != "":
		return r.render()
	}
	return nil, errors.New("neither a kustomization nor a chart")
}

func (r request) render() (map[string]string, error) {
	chart, err := loader.LoadDir(r.Chart)
	if err != nil {
		return nil, err
	}
	if r.Reused {
		chart.Values = map[string]any{}
	}
	version, err := common.ParseKubeVersion(r.Kubernetes)
	if err != nil {
		return nil, err
	}
	capabilities := &common.Capabilities{KubeVersion: *version, APIVersions: slices.Concat(common.DefaultVersionSet, r.APIVersions)}
	options := common.ReleaseOptions{Name: r.Name, Namespace: r.Namespace, Revision: 1, IsInstall: true}
	values, err := util.ToRenderValues(chart, r.Values, options, capabilities)
	if err != nil {
		return nil, err
	}
	return engine.Engine{}.RenderWithContext(context.Background(), chart, values)
}
