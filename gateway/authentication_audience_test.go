// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

var _ = Describe("a token of the audience bbmcp alone", func() {
	It("lets its bearer publish and read, and change nothing, whatever the roles", func(ctx SpecContext) {
		t := newTenant(ctx)
		for _, role := range []string{editor, publisher, admin} {
			newAccount(ctx, t.namespace, "all", role)
		}
		token, err := cluster.Token(ctx, t.namespace, "all", nil, "bbmcp")
		Expect(err).NotTo(HaveOccurred())
		caller := clientFor(token)
		for _, r := range rights {
			method, path := r.request(t.webhook, t.delivery, "")
			got := caller.call(ctx, method, path, r.body)
			isPublishing := strings.HasSuffix(r.call, "/test") || strings.HasSuffix(r.call, "/events")
			if method == http.MethodGet || isPublishing {
				Expect(got.status).To(BeElementOf(ok200, accepted202), "%s: %s", r.call, got.body)
				continue
			}
			Expect(decodeProblem(got, forbidden403).Reason).To(Equal("AudienceTooNarrow"), r.call)
			Expect(got.body).To(ContainSubstring("request it without an audience"), r.call)
		}
	}, SpecTimeout(time.Minute))

	It("is refused by the API server", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		newAccount(ctx, namespace, "one")
		token, err := cluster.Token(ctx, namespace, "one", nil, "bbmcp")
		Expect(err).NotTo(HaveOccurred())
		config := rest.AnonymousClientConfig(cluster.ControlPlane.AdminConfig())
		config.BearerToken = token
		clients, err := kubernetes.NewForConfig(config)
		Expect(err).NotTo(HaveOccurred())
		_, err = clients.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		Expect(apierrors.IsUnauthorized(err)).To(BeTrue(), "%v", err)
		Expect(clientFor(token).call(ctx, http.MethodGet, "/v1/event-types", nil).status).To(Equal(ok200))
	}, SpecTimeout(time.Minute))
})
