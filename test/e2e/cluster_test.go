// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	system  = "bbmcp-system"
	release = "bbmcp"
)

// helm runs the command of a user with Helm 4, and returns when its --wait is over.
func helm(ctx context.Context, args ...string) {
	GinkgoHelper()
	runHelm(ctx, "helm4", args...)
}

// runHelm is helm with one of both that are supported, helm3 or helm4.
func runHelm(ctx context.Context, program string, args ...string) {
	GinkgoHelper()
	command := exec.CommandContext(ctx, "../../bin/"+program, append(args, "--namespace="+system)...)
	command.Env = append(os.Environ(), "KUBECONFIG="+node.ControlPlane.Kubeconfig(),
		"HELM_CACHE_HOME=/run/helm", "HELM_CONFIG_HOME=/run/helm", "HELM_DATA_HOME=/run/helm")
	out, err := command.CombinedOutput()
	if err != nil {
		Fail(fmt.Sprintf("%s %s: %v\n%s\n%s", program, strings.Join(args, " "), err, out, explainPods(ctx)))
	}
	GinkgoWriter.Printf("%s %s\n", program, strings.Join(args, " "))
}

// explainPods says why Pods are not ready.
func explainPods(ctx context.Context) string {
	var text strings.Builder
	var all corev1.PodList
	_ = k8s.List(ctx, &all)
	for _, pod := range all.Items {
		fmt.Fprintf(&text, "%s %s\n", pod.Name, pod.Status.Phase)
		for _, status := range append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...) {
			fmt.Fprintf(&text, "  %s ready %t restarts %d %+v\n", status.Name, status.Ready, status.RestartCount, status.State)
		}
	}
	var events corev1.EventList
	_ = k8s.List(ctx, &events)
	for _, event := range events.Items {
		if event.Type == corev1.EventTypeWarning {
			fmt.Fprintf(&text, "%s: %s\n", event.InvolvedObject.Name, event.Message)
		}
	}
	return text.String()
}

// pods are those of a role that are not about to end.
func pods(ctx context.Context, role string) ([]corev1.Pod, error) {
	var all corev1.PodList
	if err := k8s.List(ctx, &all, client.InNamespace(system)); err != nil {
		return nil, err
	}
	var some []corev1.Pod
	for _, pod := range all.Items {
		if pod.DeletionTimestamp == nil && strings.HasPrefix(pod.Name, release+"-"+role+"-") {
			some = append(some, pod)
		}
	}
	return some, nil
}

// rolledOut is nil once a Deployment has replaced all its Pods and those of
// before are gone.
func rolledOut(ctx context.Context, role string) error {
	var deployment appsv1.Deployment
	if err := k8s.Get(ctx, client.ObjectKey{Namespace: system, Name: release + "-" + role}, &deployment); err != nil {
		return err
	}
	want, status := *deployment.Spec.Replicas, deployment.Status
	if status.ObservedGeneration < deployment.Generation || status.UpdatedReplicas != want || status.ReadyReplicas != want || status.Replicas != want {
		return fmt.Errorf("%s: %d of %d replicas are new and %d ready", role, status.UpdatedReplicas, want, status.ReadyReplicas)
	}
	var all corev1.PodList
	if err := k8s.List(ctx, &all, client.InNamespace(system)); err != nil {
		return err
	}
	for _, pod := range all.Items {
		if pod.DeletionTimestamp != nil {
			return errors.New(pod.Name + " has not ended")
		}
	}
	return nil
}

func waitRolledOut(ctx context.Context) {
	GinkgoHelper()
	for _, role := range []string{"manager", "gateway"} {
		Eventually(ctx, func(ctx context.Context) error { return rolledOut(ctx, role) }).
			WithTimeout(soon).WithPolling(often).Should(Succeed())
	}
}

// waitGone waits until no Pod is left.
func waitGone(ctx context.Context) {
	GinkgoHelper()
	Eventually(ctx, func(ctx context.Context) ([]corev1.Pod, error) {
		var all corev1.PodList
		err := k8s.List(ctx, &all, client.InNamespace(system))
		return all.Items, err
	}).WithTimeout(soon).WithPolling(often).Should(BeEmpty())
}

// leader is the name of the Pod that leads.
func leader(ctx context.Context) (string, error) {
	var lease coordinationv1.Lease
	if err := k8s.Get(ctx, client.ObjectKey{Namespace: system, Name: "bbmcp-webhooks"}, &lease); err != nil {
		return "", err
	}
	if lease.Spec.HolderIdentity == nil || *lease.Spec.HolderIdentity == "" {
		return "", errors.New("nobody leads")
	}
	name, _, _ := strings.Cut(*lease.Spec.HolderIdentity, "_")
	return name, nil
}

// process is the first process of a container, as the node sees it.
func process(ctx context.Context, pod *corev1.Pod, container string) int {
	GinkgoHelper()
	tasks, err := node.Tasks(ctx)
	Expect(err).NotTo(HaveOccurred())
	for _, status := range append(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses...) {
		if status.Name == container {
			pid := tasks[strings.TrimPrefix(status.ContainerID, "containerd://")]
			Expect(pid).NotTo(BeZero(), "process of %s in %s", container, pod.Name)
			return pid
		}
	}
	Fail(pod.Name + " has no container " + container)
	return 0
}
