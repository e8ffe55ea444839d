// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

// Chart and config/ are two roads to one place. The Namespace is Helm's flag.
func TestChartAndKustomizationMakeTheSame(t *testing.T) {
	got := byKey(t, render(t, "", Release{}).Objects)
	want := byKey(t, slices.Concat(kustomized(t, "config"), kustomized(t, "config/eventtypes")))
	delete(want, "Namespace /bbmcp-system")
	if len(want) < 30 {
		t.Fatalf("config/ makes %d objects, which cannot be all", len(want))
	}
	for key := range want {
		if got[key] == nil {
			t.Errorf("the chart lacks %s", key)
		}
	}
	for key, object := range got {
		if want[key] == nil {
			t.Errorf("config/ lacks %s", key)
			continue
		}
		if difference := cmp.Diff(want[key], object); difference != "" {
			t.Errorf("%s (-config +chart):\n%s", key, difference)
		}
	}
}

// byKey holds the objects without what only Helm writes.
func byKey(t *testing.T, all []*unstructured.Unstructured) map[string]map[string]any {
	t.Helper()
	found := map[string]map[string]any{}
	for _, object := range all {
		key := ObjectKey(object)
		if found[key] != nil {
			t.Errorf("two of %s", key)
		}
		labels := object.GetLabels()
		for _, name := range []string{"helm.sh/chart", "app.kubernetes.io/version", "app.kubernetes.io/managed-by"} {
			delete(labels, name)
		}
		object.SetLabels(labels)
		annotations := object.GetAnnotations()
		for name := range annotations {
			if strings.Contains(name, "helm.sh/") {
				delete(annotations, name)
			}
		}
		object.SetAnnotations(annotations)
		object.SetCreationTimestamp(object.GetCreationTimestamp()) // null and absent are one
		plain(object.Object)
		found[key] = canonical(t, object.Object)
	}
	return found
}

// plain takes out what says nothing: empty maps of labels and annotations, and
// the pull policy that Kubernetes would choose as well.
func plain(object map[string]any) {
	metadata, _ := object["metadata"].(map[string]any)
	for _, name := range []string{"labels", "annotations", "creationTimestamp"} {
		if empty, isMap := metadata[name].(map[string]any); metadata[name] == nil || isMap && len(empty) == 0 {
			delete(metadata, name)
		}
	}
	if object["kind"] != "Deployment" {
		return
	}
	for _, group := range []string{"containers", "initContainers"} {
		containers, _, _ := unstructured.NestedSlice(object, "spec", "template", "spec", group)
		for _, container := range containers {
			if fields, _ := container.(map[string]any); fields["imagePullPolicy"] == "IfNotPresent" {
				delete(fields, "imagePullPolicy")
			}
		}
		_ = unstructured.SetNestedSlice(object, containers, "spec", "template", "spec", group) // of the slice that was there
	}
}

// canonical spells numbers in one way.
func canonical(t *testing.T, object map[string]any) map[string]any {
	t.Helper()
	text, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	var again map[string]any
	if err := yaml.Unmarshal(text, &again); err != nil {
		t.Fatal(err)
	}
	return again
}
