// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"crypto/tls"
	"net/http"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var _ = Describe("the metrics over TLS", func() {
	It("are served only to callers with the RBAC right to read them", func(ctx SpecContext) {
		front, err := cluster.StartGateway(ctx, gatewayOptions("--metrics-secure=true"))
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(front.Kill)
		namespace := newNamespace(ctx)
		through := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		scrape := func(method, token string) int {
			GinkgoHelper()
			request, err := http.NewRequestWithContext(ctx, method, strings.Replace(front.MetricsURL, "http://", "https://", 1), nil)
			Expect(err).NotTo(HaveOccurred())
			if token != "" {
				request.Header.Set("Authorization", "Bearer "+token)
			}
			response, err := through.Do(request)
			Expect(err).NotTo(HaveOccurred())
			Expect(response.Body.Close()).To(Succeed())
			return response.StatusCode
		}
		nobody, reader := newAccount(ctx, namespace, "nobody"), newAccount(ctx, namespace, "reader")
		Expect(cluster.Client.Create(ctx, &rbacv1.ClusterRoleBinding{
			ObjectMeta: metav1.ObjectMeta{Name: namespace + "-metrics-reader"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "bbmcp-metrics-reader"},
			Subjects:   []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: namespace, Name: "reader"}},
		})).To(Succeed())
		Expect(scrape(http.MethodGet, "")).To(Equal(http.StatusUnauthorized))
		Expect(scrape(http.MethodGet, "a.b.c")).To(Equal(http.StatusUnauthorized))
		Expect(scrape(http.MethodGet, nobody)).To(Equal(http.StatusForbidden))
		Expect(scrape(http.MethodGet, reader)).To(Equal(http.StatusOK))
		Expect(scrape("INVENTED", reader)).To(Equal(http.StatusMethodNotAllowed), "each method would be a question of its own")
	}, SpecTimeout(time.Minute))
})
