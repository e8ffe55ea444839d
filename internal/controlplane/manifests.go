// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// manifest is an object and the file it comes from.
type manifest struct {
	file   string
	object *unstructured.Unstructured
}

// manifests are sorted by what depends on what.
type manifests struct{ crds, namespaces, rest []manifest }

func (all *manifests) add(m manifest) {
	switch m.object.GroupVersionKind().GroupKind() {
	case schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}:
		all.crds = append(all.crds, m)
	case schema.GroupKind{Kind: "Namespace"}:
		all.namespaces = append(all.namespaces, m)
	default:
		all.rest = append(all.rest, m)
	}
}

// readManifestPaths reads files and folders of the machine.
func readManifestPaths(paths []string) (manifests, error) {
	var all manifests
	for _, path := range paths {
		dir, base := filepath.Split(filepath.Clean(path))
		if dir == "" {
			dir = "."
		}
		if err := all.read(os.DirFS(dir), base); err != nil {
			return manifests{}, fmt.Errorf("read manifests in %q: %w", path, err)
		}
	}
	return all, nil
}

// read adds the file or folder at path.
func (all *manifests) read(fsys fs.FS, path string) error {
	return fs.WalkDir(fsys, path, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() || name != path && !isManifest(entry.Name()) {
			return nil
		}
		data, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		found, err := parseManifests(name, data)
		for _, m := range found {
			all.add(m)
		}
		return err
	})
}

// isManifest says whether a file found in a folder is to be applied.
func isManifest(name string) bool {
	switch name {
	case "kustomization.yaml", "kustomization.yml":
		return false
	}
	return slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(name))
}

func parseManifests(file string, data []byte) ([]manifest, error) {
	var all []manifest
	documents := yaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for n := 1; ; n++ {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: document %d: %w", file, n, err)
		}
		objects, err := parseManifestDocument(document)
		if err != nil {
			return nil, fmt.Errorf("%s: document %d: %w", file, n, err)
		}
		for _, object := range objects {
			all = append(all, manifest{file: file, object: object})
		}
	}
}

// parseManifestDocument returns the object in a document, none if it is empty, or the items of a List.
func parseManifestDocument(document []byte) ([]*unstructured.Unstructured, error) {
	data, err := yaml.ToJSON(document)
	if err != nil {
		return nil, err
	}
	if bytes.Equal(bytes.TrimSpace(data), []byte("null")) {
		return nil, nil
	}
	object := new(unstructured.Unstructured)
	if err := object.UnmarshalJSON(data); err != nil {
		return nil, err
	}
	if !object.IsList() {
		return []*unstructured.Unstructured{object}, nil
	}
	var items []*unstructured.Unstructured
	err = object.EachListItem(func(item runtime.Object) error {
		items = append(items, item.(*unstructured.Unstructured))
		return nil
	})
	return items, err
}
