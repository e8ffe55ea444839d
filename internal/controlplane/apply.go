package controlplane

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// FieldManager owns the fields that Apply sets.
const FieldManager = "bbmcp-controlplane"

// establishTimeout bounds the wait for CRDs to be served.
const establishTimeout = 15 * time.Second

// Apply applies every object in the given YAML or JSON files, and in those of the given folders and their subfolders, on the
// server's side and by force: first the CRDs, waiting until they are served, then Namespaces, then the rest in the order of
// paths, file names and documents. A namespaced object without a namespace goes to "default". Files for kustomize are
// passed over. It stops at the first error, which names the file.
func Apply(ctx context.Context, cfg *rest.Config, paths ...string) error {
	var all []manifest
	for _, path := range paths {
		dir, base := filepath.Split(filepath.Clean(path))
		if dir == "" {
			dir = "."
		}
		found, err := readManifests(os.DirFS(dir), base)
		if err != nil {
			return fmt.Errorf("apply %q: %w", path, err)
		}
		all = append(all, found...)
	}
	return applyAll(ctx, cfg, all)
}

// ApplyFS is [Apply] for files of fsys, such as an embedded folder.
func ApplyFS(ctx context.Context, cfg *rest.Config, fsys fs.FS, paths ...string) error {
	var all []manifest
	for _, path := range paths {
		found, err := readManifests(fsys, path)
		if err != nil {
			return fmt.Errorf("apply %q: %w", path, err)
		}
		all = append(all, found...)
	}
	return applyAll(ctx, cfg, all)
}

// manifest is an object and the file it comes from.
type manifest struct {
	file   string
	object *unstructured.Unstructured
}

// rank orders kinds by what depends on them.
func (m manifest) rank() int {
	switch m.object.GroupVersionKind().GroupKind() {
	case schema.GroupKind{Group: "apiextensions.k8s.io", Kind: "CustomResourceDefinition"}:
		return 0
	case schema.GroupKind{Kind: "Namespace"}:
		return 1
	default:
		return 2
	}
}

func readManifests(fsys fs.FS, path string) ([]manifest, error) {
	var all []manifest
	err := fs.WalkDir(fsys, path, func(name string, entry fs.DirEntry, err error) error {
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
		all = append(all, found...)
		return err
	})
	return all, err
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
		objects, err := parseDocument(document)
		if err != nil {
			return nil, fmt.Errorf("%s: document %d: %w", file, n, err)
		}
		for _, object := range objects {
			all = append(all, manifest{file: file, object: object})
		}
	}
}

// parseDocument returns the object in a document, none if it is empty, or the items of a List.
func parseDocument(document []byte) ([]*unstructured.Unstructured, error) {
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

// applier applies objects of any kind.
type applier struct {
	client dynamic.Interface
	mapper *restmapper.DeferredDiscoveryRESTMapper
	// newKinds says that CRDs were applied, which discovery may learn of a moment later.
	newKinds bool
}

func applyAll(ctx context.Context, cfg *rest.Config, all []manifest) error {
	if len(all) == 0 {
		return nil
	}
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	disco, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return fmt.Errorf("apply: %w", err)
	}
	a := &applier{client: client, mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))}
	slices.SortStableFunc(all, func(x, y manifest) int { return x.rank() - y.rank() })
	crds := 0
	for crds < len(all) && all[crds].rank() == 0 {
		crds++
	}
	for _, m := range all[:crds] {
		if err := a.apply(ctx, m); err != nil {
			return err
		}
	}
	for _, m := range all[:crds] {
		if err := a.waitEstablished(ctx, m); err != nil {
			return err
		}
	}
	if crds > 0 {
		a.newKinds = true
		a.mapper.Reset()
	}
	for _, m := range all[crds:] {
		if err := a.apply(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func (a *applier) apply(ctx context.Context, m manifest) error {
	describe := func(err error) error {
		return fmt.Errorf("apply %s %q of %s: %w", m.object.GetKind(), m.object.GetName(), m.file, err)
	}
	if m.object.GetName() == "" {
		return describe(errors.New("no name"))
	}
	mapping, err := a.mapping(ctx, m.object.GroupVersionKind())
	if err != nil {
		return describe(err)
	}
	var target dynamic.ResourceInterface = a.client.Resource(mapping.Resource)
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace {
		namespace := m.object.GetNamespace()
		if namespace == "" {
			namespace = metav1.NamespaceDefault
		}
		target = a.client.Resource(mapping.Resource).Namespace(namespace)
	}
	_, err = target.Apply(ctx, m.object.GetName(), m.object, metav1.ApplyOptions{FieldManager: FieldManager, Force: true})
	if err != nil {
		return describe(err)
	}
	return nil
}

// mapping finds the resource of a kind, asking again for a while if the kind may be new.
func (a *applier) mapping(ctx context.Context, kind schema.GroupVersionKind) (*meta.RESTMapping, error) {
	mapping, err := a.mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if !a.newKinds || !meta.IsNoMatchError(err) {
		return mapping, err
	}
	err = poll(ctx, func(context.Context) error {
		a.mapper.Reset()
		mapping, err = a.mapper.RESTMapping(kind.GroupKind(), kind.Version)
		return err
	})
	return mapping, err
}

func (a *applier) waitEstablished(ctx context.Context, m manifest) error {
	mapping, err := a.mapping(ctx, m.object.GroupVersionKind())
	if err != nil {
		return err
	}
	err = poll(ctx, func(ctx context.Context) error {
		crd, err := a.client.Resource(mapping.Resource).Get(ctx, m.object.GetName(), metav1.GetOptions{})
		if err != nil {
			return err
		}
		return established(crd)
	})
	if err != nil {
		return fmt.Errorf("wait for CustomResourceDefinition %q of %s: %w", m.object.GetName(), m.file, err)
	}
	return nil
}

// established is nil once a CRD is served, else the reason why not.
func established(crd *unstructured.Unstructured) error {
	conditions, _, err := unstructured.NestedSlice(crd.Object, "status", "conditions")
	if err != nil {
		return err
	}
	reason := "no condition Established yet"
	for _, each := range conditions {
		condition, _ := each.(map[string]any)
		switch {
		case condition["type"] == "Established" && condition["status"] == "True":
			return nil
		case condition["status"] == "False":
			reason = fmt.Sprintf("%v: %v", condition["type"], condition["message"])
		}
	}
	return errors.New(reason)
}

// poll repeats check until it succeeds, at most for establishTimeout.
func poll(ctx context.Context, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, establishTimeout)
	defer cancel()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		err := check(ctx)
		if err == nil || apierrors.IsForbidden(err) {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}
