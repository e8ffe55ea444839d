// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/hack/demo/current"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

// demo runs the program of make demo on the node, as a user with its kubeconfig, who names its context, since no tool that
// the demo knows made the node.
func demo(ctx context.Context, args ...string) (string, error) {
	command := exec.CommandContext(ctx, "../../bin/e2e/demo", append([]string{"--cluster=current", "--context=controlplane"}, args...)...)
	command.Env = append(os.Environ(), "KUBECONFIG="+node.ControlPlane.Kubeconfig())
	out, err := command.CombinedOutput()
	return string(out), err
}

// showDemo lets the demo tell its story, and fail where it must.
func showDemo(ctx context.Context) {
	GinkgoHelper()
	By("refusing a cluster whose nodes it cannot bring the image to")
	out, err := demo(ctx, "--once")
	Expect(err).To(HaveOccurred())
	Expect(out).To(ContainSubstring("does not know how to bring its image to the nodes"))
	Expect(out).To(ContainSubstring("make demo CLUSTER=current IMAGE=REGISTRY/NAME:TAG"))
	By("ending at once when the nodes cannot get the image")
	began := time.Now()
	out, err = demo(ctx, "--once", "--image=127.0.0.1:1/absent:1")
	Expect(err).To(HaveOccurred())
	GinkgoWriter.Println(out)
	Expect(out).To(ContainSubstring(`the node cannot get the image "127.0.0.1:1/absent:1"`))
	Expect(time.Since(began)).To(BeNumerically("<", 2*time.Minute), "less than the wait for a Pod that may become ready")
	expectNothingOfDemo(ctx)
	By("delivering, failing, retrying and verifying")
	Expect(node.LoadImage(ctx, os.Getenv("E2E_DEMO_ARCHIVE"))).To(Succeed())
	began = time.Now()
	out, err = demo(ctx, "--once", "--image="+os.Getenv("E2E_DEMO_IMAGE"))
	GinkgoWriter.Println(out)
	Expect(err).NotTo(HaveOccurred())
	said.row("`make demo CLUSTER=current ONCE=1`, the image on the node, and all of it removed", time.Since(began))
	Expect(strings.TrimSpace(out)).To(HaveSuffix("5/5 deliveries succeeded, 1 of them at the second attempt; 6/6 signatures verified"))
	expectNothingOfDemo(ctx)
}

// expectNothingOfDemo checks what the demo made in the namespace, beside it, and for all.
func expectNothingOfDemo(ctx context.Context) {
	GinkgoHelper()
	scheme := stack.Scheme()
	Expect(apiextensionsv1.AddToScheme(scheme)).To(Succeed())
	all, err := client.New(node.ControlPlane.AdminConfig(), client.Options{Scheme: scheme})
	Expect(err).NotTo(HaveOccurred())
	err = all.Get(ctx, client.ObjectKey{Name: current.Namespace}, &corev1.Namespace{})
	Expect(apierrors.IsNotFound(err)).To(BeTrue(), "namespace %s: %v", current.Namespace, err)
	for _, list := range []client.ObjectList{
		&apiextensionsv1.CustomResourceDefinitionList{}, &rbacv1.ClusterRoleList{}, &rbacv1.ClusterRoleBindingList{}, &rbacv1.RoleList{}, &rbacv1.RoleBindingList{},
	} {
		Expect(all.List(ctx, list)).To(Succeed())
		Expect(namesWith(list, "bbmcp")).To(BeEmpty())
	}
}

// namesWith are the names of a list's objects that contain a word.
func namesWith(list client.ObjectList, word string) ([]string, error) {
	var names []string
	items, err := meta.ExtractList(list)
	for _, item := range items {
		if object, ok := item.(client.Object); !ok {
			return nil, errors.New("no object")
		} else if strings.Contains(object.GetName(), word) {
			names = append(names, object.GetName())
		}
	}
	return names, err
}
