// SPDX-License-Identifier: Apache-2.0

package current

import (
	"context"
	"errors"
	"fmt"
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

// waitForPod waits for a Pod.
func (c *DemoCluster) waitForPod(ctx context.Context, name string) error {
	return waitFor(ctx, readyWithin, func(ctx context.Context) error {
		var pod corev1.Pod
		if err := c.Client.Get(ctx, client.ObjectKey{Namespace: Namespace, Name: name}, &pod); err != nil {
			return fmt.Errorf("find the Pod %s: %w", name, err)
		}
		return checkPodReady(&pod)
	})
}

// waitForDeployment waits for a Deployment, and gives up at once when one of its Pods cannot become ready.
func (c *DemoCluster) waitForDeployment(ctx context.Context, name string) error {
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
				if err := checkPodReady(&pods.Items[i]); err != nil {
					return err
				}
			}
		}
		return fmt.Errorf("the Deployment %s has no Pod that is available", name)
	})
}

// waitForReadyPod waits for, and names, a ready Pod with a label.
func (c *DemoCluster) waitForReadyPod(ctx context.Context, key, value string) (name string, err error) {
	err = waitFor(ctx, readyWithin, func(ctx context.Context) error {
		var pods corev1.PodList
		if err := c.Client.List(ctx, &pods, client.InNamespace(Namespace), client.MatchingLabels{key: value}); err != nil {
			return fmt.Errorf("list the Pods: %w", err)
		}
		for i := range pods.Items {
			if checkPodReady(&pods.Items[i]) == nil {
				name = pods.Items[i].Name
				return nil
			}
		}
		return fmt.Errorf("no Pod of the %s is ready", value)
	})
	return name, err
}
