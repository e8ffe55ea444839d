// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/test/receiver"
)

const (
	tenant = "shop"
	secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
)

// endpoint is the receiver in its Pod, at the address of its Service.
type endpoint struct{ address string }

// makeTenant makes a namespace in which Pod Security is enforced, with a
// ServiceAccount that may publish and manage webhooks.
func makeTenant(ctx context.Context) {
	GinkgoHelper()
	create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: tenant, Labels: map[string]string{
		"pod-security.kubernetes.io/enforce": "restricted",
	}}})
	create(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: tenant, Name: "publisher"}})
	for _, role := range []string{"bbmcp-publisher", "bbmcp-editor"} {
		create(ctx, &rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: tenant, Name: role},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: tenant, Name: "publisher"}},
		})
	}
}

// startEndpoint runs the receiver in the tenant's namespace.
func startEndpoint(ctx context.Context) endpoint {
	GinkgoHelper()
	labels := map[string]string{"app": "receiver"}
	create(ctx, &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: tenant, Name: "receiver", Labels: labels},
		Spec: corev1.PodSpec{
			AutomountServiceAccountToken: new(false),
			SecurityContext: &corev1.PodSecurityContext{
				RunAsNonRoot: new(true), RunAsUser: new(int64(65532)),
				SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
			},
			Containers: []corev1.Container{{
				Name: "receiver", Image: receiverImage, ImagePullPolicy: corev1.PullNever,
				Args: []string{"--listen=:9000", "--quiet", "--keep=0"},
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
					corev1.ResourceCPU: resource.MustParse("100m"), corev1.ResourceMemory: resource.MustParse("64Mi"),
				}},
				ReadinessProbe: &corev1.Probe{PeriodSeconds: 1, ProbeHandler: corev1.ProbeHandler{
					TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(9000)},
				}},
				SecurityContext: &corev1.SecurityContext{
					AllowPrivilegeEscalation: new(false), ReadOnlyRootFilesystem: new(true),
					Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
				},
			}},
		},
	})
	service := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: tenant, Name: "receiver"},
		Spec:       corev1.ServiceSpec{Selector: labels, Ports: []corev1.ServicePort{{Port: 80, TargetPort: intstr.FromInt32(9000)}}},
	}
	create(ctx, service)
	e := endpoint{address: service.Spec.ClusterIP}
	Eventually(ctx, func(ctx context.Context) error { return e.call(ctx, http.MethodPut, "_secrets", "", secret, nil) }).
		WithTimeout(soon).WithPolling(often).Should(Succeed())
	return e
}

func (e endpoint) url(path string) string { return "http://" + e.address + "/" + path }

// call calls the receiver's control API.
func (e endpoint) call(ctx context.Context, method, what, path, body string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, e.url(what)+"?path="+path, strings.NewReader(body))
	if err != nil {
		return err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s", method, what, answer.Status)
	}
	if into == nil {
		return nil
	}
	return json.NewDecoder(answer.Body).Decode(into)
}

// counts are what arrived at a path.
func (e endpoint) counts(ctx context.Context, path string) (receiver.Counts, error) {
	var received struct {
		Paths map[string]receiver.Counts `json:"paths"`
	}
	err := e.call(ctx, http.MethodGet, "_received", "", "", &received)
	return received.Paths["/"+path], err
}

func create(ctx context.Context, object client.Object) {
	GinkgoHelper()
	Expect(k8s.Create(ctx, object)).To(Succeed())
}
