// SPDX-License-Identifier: Apache-2.0

package current

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

const (
	receiverName = "receiver"
	receiverPort = 9000
)

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
				Name: receiverName, Image: image.Name, ImagePullPolicy: image.pullPolicy(),
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
