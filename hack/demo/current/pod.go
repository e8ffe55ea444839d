// SPDX-License-Identifier: Apache-2.0

package current

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// hopelessReasons are reasons of containers that pass by no waiting.
var hopelessReasons = []string{"ErrImageNeverPull", "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError", "CrashLoopBackOff"} //nolint:gochecknoglobals // never changed

// checkPodReady says why a Pod is not ready; nil: it is.
func checkPodReady(pod *corev1.Pod) error {
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		waiting := status.State.Waiting
		if waiting == nil || !slices.Contains(hopelessReasons, waiting.Reason) {
			continue
		}
		if strings.Contains(waiting.Reason, "Image") {
			return hopelessError(fmt.Sprintf("the node cannot get the image %q (%s: %s). Put it into a registry that the nodes reach, and name it: make demo CLUSTER=current IMAGE=REGISTRY/NAME:TAG",
				status.Image, waiting.Reason, waiting.Message))
		}
		return hopelessError(fmt.Sprintf("%s in Pod %s does not start (%s: %s). `kubectl -n %s logs %s -c %s` tells why",
			status.Name, pod.Name, waiting.Reason, waiting.Message, Namespace, pod.Name, status.Name))
	}
	for _, condition := range pod.Status.Conditions {
		switch {
		case condition.Type == corev1.PodReady && condition.Status == corev1.ConditionTrue:
			return nil
		case condition.Type == corev1.PodScheduled && condition.Status == corev1.ConditionFalse:
			return fmt.Errorf("no node takes the Pod %s: %s", pod.Name, condition.Message)
		}
	}
	return fmt.Errorf("the Pod %s is not ready: %s", pod.Name, pod.Status.Phase)
}

// ExplainPods writes how the Pods are.
func (c *DemoCluster) ExplainPods(ctx context.Context, to io.Writer) {
	var pods corev1.PodList
	if err := c.Client.List(ctx, &pods, client.InNamespace(Namespace)); err != nil {
		return
	}
	for i := range pods.Items {
		state := "ready"
		if err := checkPodReady(&pods.Items[i]); err != nil {
			state = err.Error()
		}
		fmt.Fprintf(to, "Pod %s: %s\n", pods.Items[i].Name, state)
	}
}
