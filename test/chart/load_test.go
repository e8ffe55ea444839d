// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"bytes"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"
)

const root = "../.."

// monitoring is served where the Prometheus operator is.
const monitoring = "monitoring.coreos.com/v1"

// render renders with values in YAML.
func render(t *testing.T, values string, release Release) Rendered {
	t.Helper()
	rendered, err := Render(t.Context(), root, parse(t, values), release)
	if err != nil {
		t.Fatalf("values %q: %v", values, err)
	}
	return rendered
}

func parse(t *testing.T, values string) map[string]any {
	t.Helper()
	parsed := map[string]any{}
	if err := yaml.UnmarshalStrict([]byte(values), &parsed); err != nil {
		t.Fatalf("values %q: %v", values, err)
	}
	return parsed
}

// kustomized are the objects of a folder of config/.
func kustomized(t *testing.T, folder string) []*unstructured.Unstructured {
	t.Helper()
	text, err := Kustomize(t.Context(), root, folder)
	if err != nil {
		t.Fatal(err)
	}
	all, err := DecodeObjects(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// find returns the one object with this key.
func find(t *testing.T, all []*unstructured.Unstructured, key string) *unstructured.Unstructured {
	t.Helper()
	at := slices.IndexFunc(all, func(object *unstructured.Unstructured) bool { return ObjectKey(object) == key })
	if at < 0 {
		t.Fatalf("no %s among %q", key, keys(all))
	}
	return all[at]
}

func keys(all []*unstructured.Unstructured) []string {
	names := make([]string, 0, len(all))
	for _, object := range all {
		names = append(names, ObjectKey(object))
	}
	return names
}

// as reads an object as its own type; a member that the type lacks is an error.
func as[T any](t *testing.T, object *unstructured.Unstructured) T {
	t.Helper()
	var typed T
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(object.Object, &typed, true); err != nil {
		t.Fatalf("%s: %v", ObjectKey(object), err)
	}
	return typed
}

// ofKind are the objects of one kind as its type; there must be some.
func ofKind[T any](t *testing.T, all []*unstructured.Unstructured, kind string) []T {
	t.Helper()
	var found []T
	for _, object := range all {
		if object.GetKind() == kind {
			found = append(found, as[T](t, object))
		}
	}
	if len(found) == 0 {
		t.Fatalf("there is no %s", kind)
	}
	return found
}
