// SPDX-License-Identifier: Apache-2.0

package current

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"bbmcp.quietstack.com/webhooks/internal/controlplane"
	"bbmcp.quietstack.com/webhooks/test/chart"
)

const (
	receiverName = "receiver"
	receiverPort = 9000
	// gatewayPort is gateway.ports.http of the chart.
	gatewayPort = 8080
)

// install makes the namespace, the receiver, and all that the chart installs, and returns when all of it is ready.
func (c *Cluster) install(ctx context.Context, image Image) error {
	began := time.Now()
	c.mine = true
	if err := c.Client.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: Namespace, Labels: map[string]string{
		label: "true", "pod-security.kubernetes.io/enforce": "restricted",
	}}}); err != nil {
		return fmt.Errorf("make the namespace %s: %w", Namespace, err)
	}
	receiver, service := receiverPod(image), receiverService()
	for _, object := range []client.Object{receiver, service} {
		if err := c.Client.Create(ctx, object); err != nil {
			return fmt.Errorf("make the receiver: %w", err)
		}
	}
	c.options.Progress("waiting for the receiver, which runs from the image " + image.Name)
	if err := c.waitReady(ctx, receiverName); err != nil {
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
	values, err := chartValues(image, service.Spec.ClusterIP, receiver.Status.PodIP)
	if err != nil {
		return err
	}
	if err := c.applyChart(ctx, values); err != nil {
		return err
	}
	c.options.Progress("installed the chart; waiting for manager and gateway")
	for _, role := range []string{"manager", "gateway"} {
		if err := c.waitAvailable(ctx, Namespace+"-"+role); err != nil {
			return err
		}
	}
	c.options.Progress(fmt.Sprintf("manager, gateway and receiver are ready in namespace %s, %s after the image", Namespace, time.Since(began).Round(100*time.Millisecond)))
	return nil
}

// chartValues are what the chart is installed with: one replica of each, and the receiver within reach.
func chartValues(image Image, reachable ...string) (map[string]any, error) {
	repository, tag, err := splitImage(image.Name)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"image":        map[string]any{"repository": repository, "tag": tag},
		"commonLabels": map[string]any{label: "true"},
		"crds":         map[string]any{"keep": false},
		"manager":      map[string]any{"replicas": 1},
		"gateway":      map[string]any{"replicas": 1},
		"dispatcher":   map[string]any{"flags": map[string]any{"allow-http": true, "allow-cidr": reachable}},
	}, nil
}

// applyChart renders the chart and applies what it makes.
func (c *Cluster) applyChart(ctx context.Context, values map[string]any) error {
	rendered, err := chart.Render(ctx, c.options.Root, values, chart.Release{
		Name: Namespace, Namespace: Namespace, APIVersions: []string{chart.GroupVersion},
	})
	if err != nil {
		return err
	}
	var all bytes.Buffer
	for _, object := range rendered.Objects {
		text, err := yaml.Marshal(object.Object)
		if err != nil {
			return fmt.Errorf("chart: %s: %w", chart.Key(object), err)
		}
		all.WriteString("---\n")
		all.Write(text)
	}
	folder, err := os.MkdirTemp("", "bbmcp-demo-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	file := filepath.Join(folder, "chart.yaml")
	if err := os.WriteFile(file, all.Bytes(), 0o600); err != nil {
		return err
	}
	return controlplane.Apply(ctx, c.Config, file)
}

func receiverPod(image Image) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: receiverName, Labels: map[string]string{label: "true", "app": receiverName}},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: new(false),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: new(true), RunAsUser: new(int64(65532)),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: receiverName, Image: image.Name, ImagePullPolicy: corev1.PullIfNotPresent,
				Command: []string{"/receiver"}, Args: []string{fmt.Sprintf("--listen=:%d", receiverPort)},
				ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{
					TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(receiverPort)},
				}},
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
					Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	}
}

func receiverService() *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: Namespace, Name: receiverName, Labels: map[string]string{label: "true"}},
		Spec: corev1.ServiceSpec{
			Selector: map[string]string{"app": receiverName},
			Ports:    []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(receiverPort)}},
		},
	}
}
