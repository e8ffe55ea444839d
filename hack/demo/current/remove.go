// SPDX-License-Identifier: Apache-2.0

package current

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// marks are objects by which the product, or a demo, is known to be in a cluster.
func marks() []client.Object {
	crd := func(name string) client.Object {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(schema.GroupVersionKind{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"})
		object.SetName(name)
		return object
	}
	return []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace}},
		crd("webhooks.bbmcp.quietstack.com"), crd("webhookdeliveries.bbmcp.quietstack.com"), crd("eventtypes.bbmcp.quietstack.com"),
	}
}

// outside are the kinds of objects that the chart makes outside of the namespace, in the order in which they go: what refuses
// writes first, what others need last.
func outside() []schema.GroupVersionKind {
	const admission, rbac = "admissionregistration.k8s.io", "rbac.authorization.k8s.io"
	return []schema.GroupVersionKind{
		{Group: admission, Version: "v1", Kind: "ValidatingAdmissionPolicyBinding"},
		{Group: admission, Version: "v1", Kind: "ValidatingAdmissionPolicy"},
		{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"},
		{Group: rbac, Version: "v1", Kind: "RoleBinding"},
		{Group: rbac, Version: "v1", Kind: "Role"},
		{Group: rbac, Version: "v1", Kind: "ClusterRoleBinding"},
		{Group: rbac, Version: "v1", Kind: "ClusterRole"},
	}
}

// remove takes away what has the demo's label, and waits until the namespace and the kinds are gone.
func (c *Cluster) remove(ctx context.Context) error {
	began := time.Now()
	for _, kind := range outside() {
		if err := c.removeKind(ctx, kind); err != nil {
			return err
		}
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace}}
	if err := client.IgnoreNotFound(c.Client.Delete(ctx, namespace)); err != nil {
		return fmt.Errorf("remove the namespace %s: %w", Namespace, err)
	}
	// Nothing that the Pods would finish in their time of grace is of use any more.
	if err := c.Client.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(Namespace), client.GracePeriodSeconds(1)); err != nil {
		return fmt.Errorf("remove the Pods of the namespace %s: %w", Namespace, err)
	}
	if err := waitFor(ctx, removeWithin, c.gone); err != nil {
		return err
	}
	c.options.Progress(fmt.Sprintf("removed everything of the demo from the cluster in %s", time.Since(began).Round(100*time.Millisecond)))
	return nil
}

// removeKind removes the objects of a kind that have the label, in all namespaces.
func (c *Cluster) removeKind(ctx context.Context, kind schema.GroupVersionKind) error {
	var list unstructured.UnstructuredList
	list.SetGroupVersionKind(kind)
	if err := c.Client.List(ctx, &list, client.HasLabels{label}); meta.IsNoMatchError(err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("list what is to be removed, %s: %w", kind.Kind, err)
	}
	for i := range list.Items {
		if err := client.IgnoreNotFound(c.Client.Delete(ctx, &list.Items[i])); err != nil {
			return fmt.Errorf("remove %s %s: %w", kind.Kind, list.Items[i].GetName(), err)
		}
	}
	return nil
}

// gone is nil once nothing of the demo is left.
func (c *Cluster) gone(ctx context.Context) error {
	for _, object := range marks() {
		err := c.Client.Get(ctx, client.ObjectKeyFromObject(object), object)
		if err == nil {
			return fmt.Errorf("%s is being removed", object.GetName())
		}
		if client.IgnoreNotFound(err) != nil {
			return err
		}
	}
	return nil
}
