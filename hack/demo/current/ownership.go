// SPDX-License-Identifier: Apache-2.0

package current

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/test/chart"
)

// ownershipMarks are objects by which the product, or a demo, is known to be in a cluster.
func ownershipMarks() []client.Object {
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

// ownership says who made what of the product a cluster has.
type ownership int

const (
	nothing ownership = iota
	mine
	foreign
)

// findOwnership says whether the product or the demo's namespace is there, and who made it, and remembers which namespace
// it is.
func (c *DemoCluster) findOwnership(ctx context.Context) (ownership, error) {
	deployment, err := c.ownerDeployment(ctx)
	if err != nil {
		return nothing, err
	}
	if deployment != "" {
		return foreign, nil
	}
	seen := nothing
	for _, object := range ownershipMarks() {
		err := c.Client.Get(ctx, client.ObjectKeyFromObject(object), object)
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return nothing, ownershipError(c.options.Target.Context, err)
		case object.GetLabels()[label] == "":
			return foreign, nil
		default:
			seen = mine
			if namespace, is := object.(*corev1.Namespace); is {
				c.uid = namespace.UID
			}
		}
	}
	return seen, nil
}

func ownershipError(context string, err error) error {
	return fmt.Errorf("look for the product in the cluster of the context %q: %w", context, err)
}

// ownerDeployment is the name of a Deployment of the product outside of the demo's namespace; empty: there is none. Such
// an installation may have adopted what an earlier demo left, label included.
func (c *DemoCluster) ownerDeployment(ctx context.Context) (string, error) {
	var deployments appsv1.DeploymentList
	if err := c.Client.List(ctx, &deployments, client.MatchingLabels{"app.kubernetes.io/name": "bbmcp-webhooks"}); err != nil {
		return "", ownershipError(c.options.Target.Context, err)
	}
	for i := range deployments.Items {
		if deployment := &deployments.Items[i]; deployment.Namespace != Namespace {
			return deployment.Namespace + "/" + deployment.Name, nil
		}
	}
	return "", nil
}

// ownsNamespace says whether a namespace is the one that this run made or found. Where making it ended in an error that
// leaves open whether it was made, the label decides.
func (c *DemoCluster) ownsNamespace(namespace *corev1.Namespace) bool {
	return namespace.Labels[label] != "" && (c.uid == "" || c.uid == namespace.UID)
}

// checkOwnership is an error if one of the objects is there already and no demo has made it.
func (c *DemoCluster) checkOwnership(ctx context.Context, objects []*unstructured.Unstructured) error {
	for _, object := range objects {
		there := &metav1.PartialObjectMetadata{}
		there.SetGroupVersionKind(object.GroupVersionKind())
		err := c.Client.Get(ctx, client.ObjectKeyFromObject(object), there)
		switch {
		case apierrors.IsNotFound(err) || meta.IsNoMatchError(err): // a kind that is not served has no objects
		case err != nil:
			return ownershipError(c.options.Target.Context, err)
		case there.Labels[label] == "":
			return fmt.Errorf("%s is in the cluster of the context %q already, and the demo did not make it: it may belong to an "+
				"installation of the product; to see the demo, remove that or choose another cluster", chart.ObjectKey(object), c.options.Target.Context)
		}
	}
	return nil
}
