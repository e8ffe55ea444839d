// SPDX-License-Identifier: Apache-2.0

package current

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// kindsToRemove are the kinds of objects that the chart makes outside of the namespace, in the order in which they go:
// what refuses writes first, what others need last.
func kindsToRemove() []schema.GroupVersionKind {
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

// removeWithin bounds a removal.
const removeWithin = 3 * time.Minute

// remove takes away what has the demo's label, and waits until the namespace and the kinds are gone. What fails is tried again
// as long as there is time.
func (c *DemoCluster) remove(ctx context.Context) error {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, removeWithin)
	defer cancel()
	if err := waitFor(ctx, removeWithin, c.removeAll); err != nil {
		return err
	}
	if err := waitFor(ctx, removeWithin, c.checkRemoved); err != nil {
		return err
	}
	c.options.Progress(fmt.Sprintf("removed everything of the demo from the cluster in %s", time.Since(began).Round(100*time.Millisecond)))
	return nil
}

// removeAll asks for the removal of everything that the demo made. It is hopeless where that belongs to others by now.
func (c *DemoCluster) removeAll(ctx context.Context) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace}}
	err := c.Client.Get(ctx, client.ObjectKeyFromObject(namespace), namespace)
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("find the namespace %s: %w", Namespace, err)
	}
	there := err == nil
	if there && !c.ownsNamespace(namespace) {
		return hopelessError(fmt.Sprintf("another demo has taken over: the namespace %s in the cluster of the context %q is not that of this one, "+
			"which removed nothing", Namespace, c.options.Target.Context))
	}
	adopter, err := c.ownerDeployment(ctx)
	if err != nil {
		return err
	}
	var failed []error
	for _, kind := range kindsToRemove() {
		if adopter == "" {
			failed = append(failed, removeKind(ctx, c.Client, kind))
		}
	}
	if there {
		failed = append(failed, c.removeNamespace(ctx, namespace))
	}
	if err := errors.Join(failed...); err != nil || adopter == "" {
		return err
	}
	return hopelessError(fmt.Sprintf("the product has been installed in the cluster of the context %q meanwhile, the Deployment %s: "+
		"what a demo may have made outside of the namespace %s stays, since the product may use it now", c.options.Target.Context, adopter, Namespace))
}

// removeNamespace removes the namespace that was found, and none that has taken its name since.
func (c *DemoCluster) removeNamespace(ctx context.Context, namespace *corev1.Namespace) error {
	err := c.Client.Delete(ctx, namespace, client.Preconditions{UID: &namespace.UID})
	if client.IgnoreNotFound(err) != nil {
		return fmt.Errorf("remove the namespace %s: %w", Namespace, err)
	}
	// Nothing that the Pods would finish in their time of grace is of use any more.
	if err := c.Client.DeleteAllOf(ctx, &corev1.Pod{}, client.InNamespace(Namespace), client.GracePeriodSeconds(1)); err != nil {
		return fmt.Errorf("remove the Pods of the namespace %s: %w", Namespace, err)
	}
	return nil
}

// removeKind removes the objects of a kind that have the label, in all namespaces.
func removeKind(ctx context.Context, c client.Client, kind schema.GroupVersionKind) error {
	var list unstructured.UnstructuredList
	list.SetGroupVersionKind(kind)
	if err := c.List(ctx, &list, client.HasLabels{label}); meta.IsNoMatchError(err) {
		return nil
	} else if err != nil {
		return fmt.Errorf("list what is to be removed, %s: %w", kind.Kind, err)
	}
	var failed []error
	for i := range list.Items {
		if err := client.IgnoreNotFound(c.Delete(ctx, &list.Items[i])); err != nil {
			failed = append(failed, fmt.Errorf("remove %s %s: %w", kind.Kind, list.Items[i].GetName(), err))
		}
	}
	return errors.Join(failed...)
}

// checkRemoved is nil once nothing of the demo is left.
func (c *DemoCluster) checkRemoved(ctx context.Context) error {
	for _, object := range ownershipMarks() {
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

// removeCommands are commands that remove what the demo made in the cluster of a context.
func removeCommands(context string) string {
	kubectl := fmt.Sprintf("kubectl --context='%s' delete ", context)
	var kinds []string
	for _, kind := range kindsToRemove() {
		kinds = append(kinds, strings.ToLower(kind.Kind))
	}
	return kubectl + strings.Join(kinds, ",") + " --all-namespaces --selector=" + label + "; " + kubectl + "namespace " + Namespace
}

// removeLeftovers refuses a cluster in which the product is installed, and removes what a demo before left.
func (c *DemoCluster) removeLeftovers(ctx context.Context) error {
	found, err := c.findOwnership(ctx)
	if err != nil {
		return err
	}
	if found == nothing {
		return nil
	}
	if found == foreign {
		return fmt.Errorf("the product or a namespace %s is in the cluster of the context %q already, and the demo did not make it: "+
			"docs/getting-started.md works there; to see the demo, uninstall the product or choose another cluster", Namespace, c.options.Target.Context)
	}
	c.mine = true
	c.options.Progress("removing what an earlier demo left")
	err = c.remove(ctx)
	if _, hopeless := errors.AsType[hopelessError](err); err == nil || hopeless {
		c.mine, c.uid = false, ""
	}
	return err
}
