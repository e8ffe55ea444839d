// SPDX-License-Identifier: Apache-2.0

package current

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"bbmcp.quietstack.com/webhooks/test/stack"
)

const ourUID = types.UID("ours")

// labels are the demo's, or none.
func labels(ours bool) map[string]string {
	if !ours {
		return nil
	}
	return map[string]string{label: "true"}
}

func namespaceOf(uid types.UID, ours bool) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace, UID: uid, Labels: labels(ours)}}
}

func clusterRole(name string, ours bool) *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels(ours)}}
}

// productIn is a Deployment of the product in a namespace.
func productIn(namespace string) *appsv1.Deployment {
	return &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: "bbmcp-manager", Labels: map[string]string{"app.kubernetes.io/name": "bbmcp-webhooks"},
	}}
}

// clusterWith is a demo in a cluster with these objects, in which new namespaces get the UID ourUID, and preconditions of
// deletions are kept. The chart makes the ClusterRole bbmcp-viewer alone.
func clusterWith(t *testing.T, refuse func(client.Object) error, objects ...client.Object) *DemoCluster {
	t.Helper()
	crds := &unstructured.UnstructuredList{}
	crds.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinitionList"})
	api := interceptor.NewClient(fake.NewClientBuilder().WithScheme(stack.Scheme()).WithLists(crds).WithObjects(objects...).Build(), interceptor.Funcs{
		Create: func(ctx context.Context, api client.WithWatch, object client.Object, options ...client.CreateOption) error {
			if namespace, is := object.(*corev1.Namespace); is {
				namespace.UID = ourUID
			}
			return api.Create(ctx, object, options...)
		},
		Delete: func(ctx context.Context, api client.WithWatch, object client.Object, options ...client.DeleteOption) error {
			if err := refuse(object); err != nil {
				return err
			}
			if _, is := object.(*corev1.Namespace); is {
				var there corev1.Namespace
				if err := api.Get(ctx, client.ObjectKeyFromObject(object), &there); err != nil {
					return err
				}
				wanted := (&client.DeleteOptions{}).ApplyOptions(options).Preconditions
				if wanted == nil || wanted.UID == nil || *wanted.UID != there.UID {
					return apierrors.NewConflict(schema.GroupResource{Resource: "namespaces"}, object.GetName(), errors.New("another UID"))
				}
			}
			return api.Delete(ctx, object, options...)
		},
	})
	render := func(context.Context, string, Image, ...string) ([]*unstructured.Unstructured, error) {
		role := &unstructured.Unstructured{}
		role.SetGroupVersionKind(rbacv1.SchemeGroupVersion.WithKind("ClusterRole"))
		role.SetName("bbmcp-viewer")
		role.SetLabels(labels(true))
		return []*unstructured.Unstructured{role}, nil
	}
	return &DemoCluster{
		Client: api, render: render, hangUp: func() {},
		options: Options{Target: Target{Context: "kind-a"}, Progress: func(string) {}},
	}
}

func refuseNothing(client.Object) error { return nil }

// expectThere checks which of the objects are there.
func expectThere(t *testing.T, c *DemoCluster, want bool, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		err := c.Client.Get(context.Background(), client.ObjectKeyFromObject(object), object)
		if client.IgnoreNotFound(err) != nil || (err == nil) != want {
			t.Errorf("%s %s: %v, want it to be there: %t", object.GetName(), object.GetUID(), err, want)
		}
	}
}

func expectError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q", err, want)
	}
}

// run is a case in which the minutes of a wait are no time.
func run(t *testing.T, name string, test func(*testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

func TestInstallLeavesOthersAlone(t *testing.T) {
	run(t, "an object that the chart makes and the demo did not, before anything is made", func(t *testing.T) {
		c := clusterWith(t, refuseNothing, clusterRole("bbmcp-viewer", false))
		expectError(t, c.install(t.Context(), Image{Name: "a:1"}), `ClusterRole /bbmcp-viewer is in the cluster of the context "kind-a" already`)
		expectThere(t, c, false, namespaceOf("", false))
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
		expectThere(t, c, true, clusterRole("bbmcp-viewer", false))
	})

	run(t, "a namespace that was made meanwhile", func(t *testing.T) {
		c := clusterWith(t, refuseNothing, namespaceOf("theirs", false))
		expectError(t, c.install(t.Context(), Image{Name: "a:1"}), "make the namespace bbmcp-demo")
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
		expectThere(t, c, true, namespaceOf("", false))
	})

	run(t, "what an earlier demo left is taken", func(t *testing.T) {
		c := clusterWith(t, refuseNothing, clusterRole("bbmcp-viewer", true))
		objects, _ := c.render(t.Context(), "", Image{})
		if err := c.checkOwnership(t.Context(), objects); err != nil {
			t.Error(err)
		}
	})
}

func TestRemoveLeftovers(t *testing.T) {
	run(t, "refuses an installation that has adopted what an earlier demo left", func(t *testing.T) {
		left := clusterRole("bbmcp-viewer", true)
		c := clusterWith(t, refuseNothing, namespaceOf("left", true), left, productIn("bbmcp-system"))
		expectError(t, c.removeLeftovers(t.Context()), "already, and the demo did not make it")
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
		expectThere(t, c, true, namespaceOf("", true), left)
	})

	run(t, "removes what an earlier demo left", func(t *testing.T) {
		left := clusterRole("bbmcp-viewer", true)
		c := clusterWith(t, refuseNothing, namespaceOf("left", true), left, productIn(Namespace))
		if err := c.removeLeftovers(t.Context()); err != nil {
			t.Error(err)
		}
		expectThere(t, c, false, namespaceOf("", true), left)
	})
}

func TestStop(t *testing.T) {
	// started is a demo that has made its namespace and a ClusterRole.
	started := func(t *testing.T, refuse func(client.Object) error, others ...client.Object) *DemoCluster {
		t.Helper()
		c := clusterWith(t, refuse, append(others, clusterRole("bbmcp-viewer", true))...)
		if err := c.installNamespace(t.Context()); err != nil {
			t.Fatal(err)
		}
		return c
	}

	run(t, "removes what has the label and nothing else", func(t *testing.T) {
		theirs := clusterRole("theirs", false)
		c := started(t, refuseNothing, theirs)
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
		expectThere(t, c, false, namespaceOf("", true), clusterRole("bbmcp-viewer", true))
		expectThere(t, c, true, theirs)
	})

	run(t, "removes nothing when another demo has taken over", func(t *testing.T) {
		c := started(t, refuseNothing)
		c.uid = "before"
		expectError(t, c.Stop(), "another demo has taken over")
		expectThere(t, c, true, namespaceOf("", true), clusterRole("bbmcp-viewer", true))
	})

	run(t, "removes its namespace alone when the product was installed meanwhile", func(t *testing.T) {
		c := started(t, refuseNothing, productIn("bbmcp-system"))
		expectError(t, c.Stop(), "the Deployment bbmcp-system/bbmcp-manager")
		expectThere(t, c, false, namespaceOf("", true))
		expectThere(t, c, true, clusterRole("bbmcp-viewer", true))
	})

	run(t, "tries again what fails", func(t *testing.T) {
		tries := 0
		c := started(t, func(object client.Object) error {
			tries++
			if tries <= 10 {
				return errors.New("not now")
			}
			return nil
		})
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
		expectThere(t, c, false, namespaceOf("", true), clusterRole("bbmcp-viewer", true))
	})

	run(t, "removes the rest where one object cannot be removed, and tells how to do that by hand", func(t *testing.T) {
		c := started(t, func(object client.Object) error {
			if object.GetName() == "bbmcp-viewer" {
				return errors.New("never")
			}
			return nil
		})
		err := c.Stop()
		expectError(t, err, "remove ClusterRole bbmcp-viewer: never")
		expectThere(t, c, false, namespaceOf("", true))
		lines := strings.Split(err.Error(), "\n")
		const want = "kubectl --context='kind-a' delete validatingadmissionpolicybinding,validatingadmissionpolicy,customresourcedefinition," +
			"rolebinding,role,clusterrolebinding,clusterrole --all-namespaces --selector=bbmcp.quietstack.com/demo; " +
			"kubectl --context='kind-a' delete namespace bbmcp-demo"
		if last := lines[len(lines)-1]; !strings.HasSuffix(last, want) {
			t.Errorf("the last line is %q", last)
		}
	})
}
