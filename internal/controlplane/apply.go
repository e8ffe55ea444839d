// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
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

// createDelay is how long after a CRD was established the API server holds back requests that create objects of its kind.
const createDelay = 2 * time.Second

// Apply applies every object in the given YAML or JSON files, and in those of the given folders and their subfolders, on the
// server's side and by force: first the CRDs, waiting until they are served, then Namespaces, then the rest in the order of
// paths, file names and documents. A namespaced object without a namespace goes to "default". Files for kustomize are
// passed over. It stops at the first error, which names the file.
//
// For two seconds after a CRD is new, the API server lets every request that creates an object of its kind by POST wait for
// two seconds. Apply itself is not held up by that; what its caller does next may be.
func Apply(ctx context.Context, cfg *rest.Config, paths ...string) error {
	all, err := readPaths(paths)
	if err != nil {
		return err
	}
	return applyAll(ctx, cfg, all)
}

func applyAll(ctx context.Context, cfg *rest.Config, all manifests) error {
	a, err := newApplier(cfg)
	if err != nil {
		return err
	}
	if err := a.applyCRDs(ctx, all.crds); err != nil {
		return err
	}
	return a.applyObjects(ctx, all)
}

// applier applies objects of any kind.
type applier struct {
	client dynamic.Interface
	mapper *restmapper.DeferredDiscoveryRESTMapper
	// newKinds says that CRDs were applied, which discovery may learn of a moment later.
	newKinds bool
	// settled is when the API server stops holding back objects of kinds that are new.
	settled time.Time
}

func newApplier(cfg *rest.Config) (*applier, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1
	client, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("apply: %w", err)
	}
	disco, err := discovery.NewDiscoveryClientForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("apply: %w", err)
	}
	return &applier{client: client, mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco))}, nil
}

// applyCRDs applies CRDs and returns when they are served.
func (a *applier) applyCRDs(ctx context.Context, crds []manifest) error {
	for _, m := range crds {
		if err := a.apply(ctx, m); err != nil {
			return err
		}
	}
	for _, m := range crds {
		since, err := a.waitEstablished(ctx, m)
		if err != nil {
			return err
		}
		if settled := since.Add(createDelay); settled.After(a.settled) {
			a.settled = settled
		}
	}
	if len(crds) > 0 {
		a.newKinds = true
		a.mapper.Reset()
	}
	return nil
}

// applyObjects applies everything but the CRDs.
func (a *applier) applyObjects(ctx context.Context, all manifests) error {
	for _, m := range slices.Concat(all.namespaces, all.rest) {
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

// waitEstablished returns the time since which a CRD is served.
func (a *applier) waitEstablished(ctx context.Context, m manifest) (since time.Time, err error) {
	mapping, err := a.mapping(ctx, m.object.GroupVersionKind())
	if err != nil {
		return time.Time{}, err
	}
	err = poll(ctx, func(ctx context.Context) error {
		crd, err := a.client.Resource(mapping.Resource).Get(ctx, m.object.GetName(), metav1.GetOptions{})
		if err != nil {
			return err
		}
		since, err = established(crd)
		return err
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("wait for CustomResourceDefinition %q of %s: %w", m.object.GetName(), m.file, err)
	}
	return since, nil
}

// established returns the time since which a CRD is served, or the reason why it is not.
func established(crd *unstructured.Unstructured) (since time.Time, err error) {
	conditions, _, err := unstructured.NestedSlice(crd.Object, "status", "conditions")
	if err != nil {
		return time.Time{}, err
	}
	var reasons []string
	for _, each := range conditions {
		condition, _ := each.(map[string]any)
		switch {
		case condition["type"] == "Established" && condition["status"] == "True":
			transition, _ := condition["lastTransitionTime"].(string)
			return time.Parse(time.RFC3339, transition)
		case condition["status"] == "False":
			reasons = append(reasons, fmt.Sprintf("%v: %v", condition["type"], condition["message"]))
		}
	}
	if len(reasons) == 0 {
		return time.Time{}, errors.New("no condition Established yet")
	}
	return time.Time{}, errors.New(strings.Join(reasons, "; "))
}

// applyPoll is how often poll asks.
const applyPoll = 25 * time.Millisecond

// poll repeats check until it succeeds, at most for establishTimeout.
func poll(ctx context.Context, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, establishTimeout)
	defer cancel()
	ticker := time.NewTicker(applyPoll)
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
