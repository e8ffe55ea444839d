// SPDX-License-Identifier: Apache-2.0

package current

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func podWith(reason, message string, conditions ...corev1.PodCondition) *corev1.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "a"}, Status: corev1.PodStatus{Phase: corev1.PodPending, Conditions: conditions}}
	if reason != "" {
		pod.Status.InitContainerStatuses = []corev1.ContainerStatus{{
			Name: "dispatcher", Image: "local/demo:1",
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: message}},
		}}
	}
	return pod
}

func TestCheckPodReady(t *testing.T) {
	ready := corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue}
	if err := checkPodReady(podWith("", "", ready)); err != nil {
		t.Errorf("a ready Pod: %v", err)
	}
	for _, tc := range []struct {
		name     string
		pod      *corev1.Pod
		want     string
		hopeless bool
	}{
		{"that starts", podWith("ContainerCreating", ""), "the Pod a is not ready: Pending", false},
		{"without a node", podWith("", "", corev1.PodCondition{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "Insufficient cpu"}), "no node takes the Pod a: Insufficient cpu", false},
		{"without its image", podWith("ErrImagePull", "not found"), `the node cannot get the image "local/demo:1" (ErrImagePull: not found)`, true},
		{"that crashes", podWith("CrashLoopBackOff", "back-off"), "`kubectl -n bbmcp-demo logs a -c dispatcher` tells why", true},
	} {
		t.Run("a Pod "+tc.name, func(t *testing.T) {
			err := checkPodReady(tc.pod)
			if _, hopeless := errors.AsType[hopelessError](err); err == nil || !strings.Contains(err.Error(), tc.want) || hopeless != tc.hopeless {
				t.Errorf("got %v, want %q, hopeless %t", err, tc.want, tc.hopeless)
			}
		})
	}
}
