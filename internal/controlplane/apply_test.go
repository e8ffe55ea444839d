// SPDX-License-Identifier: Apache-2.0

package controlplane_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"bbmcp.quietstack.com/webhooks/internal/controlplane"
)

func TestApply(t *testing.T) {
	cp := start(t, controlplane.Options{UnsafeNoFsync: true, Manifests: []string{"testdata/manifests"}})
	admin := clientFor(t, cp.AdminConfig())
	dyn, err := dynamic.NewForConfig(cp.AdminConfig())
	if err != nil {
		t.Fatal(err)
	}
	widgets := dyn.Resource(schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "widgets"}).Namespace("workshop")

	t.Run("objects are there in spite of the order of the files", func(t *testing.T) {
		widget, err := widgets.Get(t.Context(), "first", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got := widget.GetManagedFields()[0].Manager; got != controlplane.FieldManager {
			t.Errorf("field manager: got %q, want %q", got, controlplane.FieldManager)
		}
		got := map[string]string{}
		for _, namespace := range []string{"workshop", "default"} {
			list, err := admin.CoreV1().ConfigMaps(namespace).List(t.Context(), metav1.ListOptions{})
			if err != nil {
				t.Fatal(err)
			}
			for _, item := range list.Items {
				if item.Data["from"] != "" {
					got[namespace+"/"+item.Name] = item.Data["from"]
				}
			}
		}
		want := map[string]string{"workshop/listed": "list", "default/without-namespace": "list"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("ConfigMaps (-want +got):\n%s", diff)
		}
	})

	t.Run("the garbage collector knows a kind that was there before it", func(t *testing.T) { testOwnedWidget(t, admin, widgets) })

	t.Run("a second time changes what differs and takes fields back by force", func(t *testing.T) {
		patch := []byte(`{"spec":{"size":5}}`)
		if _, err := widgets.Patch(t.Context(), "first", "application/merge-patch+json", patch, metav1.PatchOptions{FieldManager: "other"}); err != nil {
			t.Fatal(err)
		}
		if err := controlplane.Apply(t.Context(), cp.AdminConfig(), "testdata/manifests/10-widgets.yaml"); err != nil {
			t.Fatal(err)
		}
		widget, err := widgets.Get(t.Context(), "first", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if got, _, _ := unstructured.NestedInt64(widget.Object, "spec", "size"); got != 1 {
			t.Errorf("size: got %d, want 1", got)
		}
	})

	t.Run("a refusal names the object and the file", func(t *testing.T) { testRefusals(t, cp) })

	t.Run("a path that does not exist is an error", func(t *testing.T) {
		if err := controlplane.Apply(t.Context(), cp.AdminConfig(), "testdata/absent"); err == nil {
			t.Error("got none")
		}
	})
}

func testOwnedWidget(t *testing.T, admin *kubernetes.Clientset, widgets dynamic.ResourceInterface) {
	maps := admin.CoreV1().ConfigMaps("workshop")
	owner, err := maps.Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owner"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	owned := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "example.com/v1", "kind": "Widget"}}
	owned.SetName("owned")
	owned.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID}})
	begin := time.Now()
	if _, err := widgets.Create(t.Context(), owned, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(begin); took >= 2*time.Second {
		t.Errorf("the API server held the object back for %s", took)
	}
	if err := maps.Delete(t.Context(), "owner", metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	begin = time.Now()
	eventually(t, 10*time.Second, func(ctx context.Context) error {
		_, err := widgets.Get(ctx, "owned", metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil
		}
		return errors.Join(errors.New("owned is still there"), err)
	})
	t.Logf("garbage collected after %s", time.Since(begin).Round(time.Millisecond))
}

func testRefusals(t *testing.T, cp *controlplane.ControlPlane) {
	for _, tc := range []struct{ name, content, want string }{
		{"an object that the schema refuses", "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: big}\nspec: {size: 10}\n",
			`apply Widget "big" of a.yaml: Widget.example.com "big" is invalid`},
		{"an unknown kind", "apiVersion: example.com/v1\nkind: Gadget\nmetadata: {name: g}\n", `apply Gadget "g" of a.yaml: no matches for kind "Gadget"`},
		{"an object without a name", "apiVersion: v1\nkind: ConfigMap\n", `apply ConfigMap "" of a.yaml: no name`},
		{"a document without a kind", "apiVersion: v1\n---\na: b\n", `read manifests in ".": a.yaml: document 1: Object 'Kind' is missing`},
		{"a document that is not YAML", "kind: ConfigMap\n---\n{\n", `read manifests in ".": a.yaml: document 2: `},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Chdir(t.TempDir())
			if err := os.WriteFile("a.yaml", []byte(tc.content), 0o600); err != nil {
				t.Fatal(err)
			}
			err := controlplane.Apply(t.Context(), cp.AdminConfig(), ".")
			if err == nil || !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("got %v, want an error that begins with %q", err, tc.want)
			}
		})
	}
}
