// SPDX-License-Identifier: Apache-2.0

package current

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// gatewayPort is gateway.ports.http of the chart.
const gatewayPort = 8080

// install makes the namespace, the receiver, and all that the chart installs, and returns when all of it is ready.
func (c *DemoCluster) install(ctx context.Context, image Image) error {
	began := time.Now()
	// Nothing is made before it is known that nothing is in the way; which objects there are does not depend on addresses.
	objects, err := c.render(ctx, c.options.Root, image, anyAddress)
	if err != nil {
		return err
	}
	if err := c.checkOwnership(ctx, objects); err != nil {
		return err
	}
	if err := c.installNamespace(ctx); err != nil {
		return err
	}
	receiver, service := receiverPod(image), receiverService()
	for _, object := range []client.Object{receiver, service} {
		if err := c.Client.Create(ctx, object); err != nil {
			return fmt.Errorf("make the receiver: %w", err)
		}
	}
	c.options.Progress("waiting for the receiver, which runs from the image " + image.Name)
	if err := c.waitForPod(ctx, receiverName); err != nil {
		return err
	}
	if err := c.Client.Get(ctx, client.ObjectKeyFromObject(receiver), receiver); err != nil {
		return fmt.Errorf("find the receiver: %w", err)
	}
	address, err := netip.ParseAddr(service.Spec.ClusterIP)
	if err != nil {
		return fmt.Errorf("find the receiver: its Service has the address %q", service.Spec.ClusterIP)
	}
	c.Endpoint = "http://" + address.String()
	if address.Is6() {
		c.Endpoint = "http://[" + address.String() + "]"
	}
	// The guard of the dispatcher sees the address of the Service, a NetworkPolicy that of the Pod.
	if objects, err = c.render(ctx, c.options.Root, image, service.Spec.ClusterIP, receiver.Status.PodIP); err != nil {
		return err
	}
	if err := c.checkOwnership(ctx, objects); err != nil {
		return err
	}
	if err := applyChart(ctx, c.Config, objects); err != nil {
		return err
	}
	c.options.Progress("installed the chart; waiting for manager and gateway")
	for _, role := range []string{"manager", "gateway"} {
		if err := c.waitForDeployment(ctx, Namespace+"-"+role); err != nil {
			return err
		}
	}
	c.options.Progress(fmt.Sprintf("manager, gateway and receiver are ready in namespace %s, %s after the image", Namespace, time.Since(began).Round(100*time.Millisecond)))
	return nil
}

// installNamespace makes the namespace. From then on there is something to take away, unless the namespace was there.
func (c *DemoCluster) installNamespace(ctx context.Context) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace, Labels: map[string]string{
		label: "true", "pod-security.kubernetes.io/enforce": "restricted",
	}}}
	err := c.Client.Create(ctx, namespace)
	c.mine, c.uid = !apierrors.IsAlreadyExists(err), namespace.UID
	if err != nil {
		return fmt.Errorf("make the namespace %s: %w", Namespace, err)
	}
	return nil
}
