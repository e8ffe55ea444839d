// SPDX-License-Identifier: Apache-2.0

package current

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// readyWithin bounds the wait for a Pod or Deployment: images may have to be pulled.
	readyWithin = 3 * time.Minute
	askEvery    = 200 * time.Millisecond
)

// hopelessError ends a wait: time will not help.
type hopelessError string

func (e hopelessError) Error() string { return string(e) }

// waitFor asks until the answer is nil, at most for so long, and returns the last answer otherwise.
func waitFor(ctx context.Context, limit time.Duration, ask func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	ticker := time.NewTicker(askEvery)
	defer ticker.Stop()
	for {
		err := ask(ctx)
		if _, hopeless := errors.AsType[hopelessError](err); err == nil || hopeless {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

// waitReady waits for a Pod.
func (c *Cluster) waitReady(ctx context.Context, name string) error {
	return waitFor(ctx, readyWithin, func(ctx context.Context) error {
		var pod corev1.Pod
		if err := c.Client.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: name}, &pod); err != nil {
			return fmt.Errorf("find the Pod %s: %w", name, err)
		}
		return notReady(&pod)
	})
}

// waitAvailable waits for a Deployment, and gives up at once when one of its Pods cannot become ready.
func (c *Cluster) waitAvailable(ctx context.Context, name string) error {
	return waitFor(ctx, readyWithin, func(ctx context.Context) error {
		var deployment appsv1.Deployment
		if err := c.Client.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: name}, &deployment); err != nil {
			return fmt.Errorf("find the Deployment %s: %w", name, err)
		}
		if deployment.Status.ObservedGeneration >= deployment.Generation && deployment.Status.AvailableReplicas > 0 {
			return nil
		}
		var pods corev1.PodList
		if err := c.Client.List(ctx, &pods, client.InNamespace(Namespace)); err != nil {
			return fmt.Errorf("list the Pods: %w", err)
		}
		for i := range pods.Items {
			if strings.HasPrefix(pods.Items[i].Name, name+"-") {
				if err := notReady(&pods.Items[i]); err != nil {
					return err
				}
			}
		}
		return fmt.Errorf("the Deployment %s has no Pod that is available", name)
	})
}

// readyPod is the name of a ready Pod with a label.
func (c *Cluster) readyPod(ctx context.Context, key, value string) (name string, err error) {
	err = waitFor(ctx, readyWithin, func(ctx context.Context) error {
		var pods corev1.PodList
		if err := c.Client.List(ctx, &pods, client.InNamespace(Namespace), client.MatchingLabels{key: value}); err != nil {
			return fmt.Errorf("list the Pods: %w", err)
		}
		for i := range pods.Items {
			if notReady(&pods.Items[i]) == nil {
				name = pods.Items[i].Name
				return nil
			}
		}
		return fmt.Errorf("no Pod of the %s is ready", value)
	})
	return name, err
}

// hopeless are reasons of containers that pass by no waiting.
var hopeless = []string{"ErrImageNeverPull", "ErrImagePull", "ImagePullBackOff", "InvalidImageName", "CreateContainerConfigError", "CrashLoopBackOff"} //nolint:gochecknoglobals // never changed

// notReady says why a Pod is not ready; nil: it is.
func notReady(pod *corev1.Pod) error {
	for _, status := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		waiting := status.State.Waiting
		if waiting == nil || !slices.Contains(hopeless, waiting.Reason) {
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

// Explain writes how the Pods are.
func (c *Cluster) Explain(ctx context.Context, to io.Writer) {
	var pods corev1.PodList
	if err := c.Client.List(ctx, &pods, client.InNamespace(Namespace)); err != nil {
		return
	}
	for i := range pods.Items {
		state := "ready"
		if err := notReady(&pods.Items[i]); err != nil {
			state = err.Error()
		}
		fmt.Fprintf(to, "Pod %s: %s\n", pods.Items[i].Name, state)
	}
}
