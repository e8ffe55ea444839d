// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"net/http"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/test/receiver"
)

var _ = Describe("a namespace that is being deleted", func() {
	It("gets at most one first attempt", func(ctx SpecContext) {
		namespace, home := newNamespace(ctx), newNamespace(ctx)
		api := apiClient{base: startGateway(ctx, gatewayOptions(noRecordFlags()...)).URL, token: newAccount(ctx, namespace, "publisher", publisher, viewer)}
		webhook := createActiveWebhook(ctx, namespace, "down", withRetries(5*time.Second, time.Minute))
		awaitWebhooks(ctx, api, 1)
		warmUp(ctx, api)
		endpoint.Script(specPath(namespace, "down"), receiver.Step{Status: 500})

		// The webhook and its namespace are gone once the finalizer is.
		finalizers := func(ctx SpecContext, list string) {
			patch := client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":`+list+`}}`))
			Expect(client.IgnoreNotFound(cluster.Client.Patch(ctx, webhook, patch))).To(Succeed())
		}
		finalizers(ctx, `["example.com/hold"]`)
		DeferCleanup(func(ctx SpecContext) { finalizers(ctx, "null") })
		// Rights in the namespace are deleted with it; those of another namespace are not.
		api.token = newAccount(ctx, home, "publisher")
		binding := &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: home},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: publisher},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: home, Name: "publisher"}},
		}
		Expect(cluster.Client.Create(ctx, binding)).To(Succeed())
		DeferCleanup(func(ctx SpecContext) { Expect(cluster.Client.Delete(ctx, binding)).To(Succeed()) })
		api = api.withHeader("Prefer", "wait=5")
		Expect(cluster.Client.Delete(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}})).To(Succeed())

		before := endpoint.Counts(specPath(namespace, "down")).Posts
		for range 5 {
			problem := decodeProblem(api.call(ctx, http.MethodPost, "/v1/events?namespace="+namespace, eventBody("")), http.StatusConflict)
			Expect(problem.Reason).To(Equal("NamespaceTerminating"))
		}
		Expect(endpoint.Counts(specPath(namespace, "down")).Posts).To(BeNumerically("<=", before+1))
	}, SpecTimeout(time.Minute))
})
