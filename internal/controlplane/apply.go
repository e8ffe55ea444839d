// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// FieldManager owns the fields that Apply sets.
const FieldManager = "bbmcp-controlplane"

// establishTimeout bounds the wait for CRDs to be served, and establishPoll is how often it looks.
const (
	establishTimeout = 15 * time.Second
	establishPoll    = 25 * time.Millisecond
)

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
	all, err := readManifestPaths(paths)
	if err != nil {
		return err
	}
	return applyManifests(ctx, cfg, all)
}

func applyManifests(ctx context.Context, cfg *rest.Config, all manifests) error {
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
	client client.Client
	// settled is when the API server stops holding back objects of kinds that are new.
	settled time.Time
}

func newApplier(cfg *rest.Config) (*applier, error) {
	cfg = rest.CopyConfig(cfg)
	cfg.QPS = -1
	scheme := runtime.NewScheme()
	if err := apiextensionsv1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("apply: %w", err)
	}
	c, err := client.New(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("apply: %w", err)
	}
	return &applier{client: c}, nil
}

// applyCRDs applies CRDs and returns when they are served.
func (a *applier) applyCRDs(ctx context.Context, crds []manifest) error {
	for _, m := range crds {
		if err := a.apply(ctx, m); err != nil {
			return err
		}
	}
	for _, m := range crds {
		since, err := a.waitCRDServed(ctx, m.object.GetName())
		if err != nil {
			return fmt.Errorf("wait for CustomResourceDefinition %q of %s: %w", m.object.GetName(), m.file, err)
		}
		if settled := since.Add(createDelay); settled.After(a.settled) {
			a.settled = settled
		}
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
	kind := m.object.GroupVersionKind()
	mapping, err := a.client.RESTMapper().RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return describe(err)
	}
	if mapping.Scope.Name() == meta.RESTScopeNameNamespace && m.object.GetNamespace() == "" {
		m.object.SetNamespace(metav1.NamespaceDefault)
	}
	err = a.client.Apply(ctx, client.ApplyConfigurationFromUnstructured(m.object), client.FieldOwner(FieldManager), client.ForceOwnership)
	if err != nil {
		return describe(err)
	}
	return nil
}

// waitCRDServed waits until a CRD is established and discovery knows its kind, which it learns a moment later, and returns the
// time since which the CRD is established.
func (a *applier) waitCRDServed(ctx context.Context, name string) (since time.Time, err error) {
	var last error
	err = wait.PollUntilContextTimeout(ctx, establishPoll, establishTimeout, true, func(ctx context.Context) (bool, error) {
		var crd apiextensionsv1.CustomResourceDefinition
		if last = a.client.Get(ctx, client.ObjectKey{Name: name}, &crd); last == nil {
			since, last = crdEstablished(&crd)
		}
		if last == nil {
			_, last = a.client.RESTMapper().RESTMapping(schema.GroupKind{Group: crd.Spec.Group, Kind: crd.Spec.Names.Kind})
		}
		return last == nil, nil
	})
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: %w", err, last)
	}
	return since, nil
}

// crdEstablished returns the time since which a CRD is established, or the reason why it is not.
func crdEstablished(crd *apiextensionsv1.CustomResourceDefinition) (since time.Time, err error) {
	var reasons []string
	for _, condition := range crd.Status.Conditions {
		switch {
		case condition.Type == apiextensionsv1.Established && condition.Status == apiextensionsv1.ConditionTrue:
			return condition.LastTransitionTime.Time, nil
		case condition.Status == apiextensionsv1.ConditionFalse:
			reasons = append(reasons, fmt.Sprintf("%s: %s", condition.Type, condition.Message))
		}
	}
	if len(reasons) == 0 {
		return time.Time{}, errors.New("no condition Established yet")
	}
	return time.Time{}, errors.New(strings.Join(reasons, "; "))
}
