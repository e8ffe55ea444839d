// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// auditPolicy keeps who has written what.
const auditPolicy = `
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  verbs: [create, update, patch, delete, deletecollection]
  resources:
  - group: bbmcp.quietstack.com
    resources: [webhooks, webhooks/status, webhookdeliveries, webhookdeliveries/status]
  - group: ""
    resources: [secrets]
- level: None
`

// auditEntry is what the audit log says of a write.
type auditEntry struct {
	User struct {
		Username string `json:"username"`
	} `json:"user"`
	Verb   string `json:"verb"`
	Object struct {
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		Namespace   string `json:"namespace"`
	} `json:"objectRef"`
	Status struct {
		Code int `json:"code"`
	} `json:"responseStatus"`
}

// listWrites lists what the audit log holds, as "user verb resource".
func listWrites(namespace string) (all []string) {
	GinkgoHelper()
	file, err := os.Open(cluster.AuditLog())
	Expect(err).NotTo(HaveOccurred())
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var one auditEntry
		Expect(json.Unmarshal(lines.Bytes(), &one)).To(Succeed())
		if one.Object.Namespace == namespace || namespace == "" {
			what := strings.TrimSuffix(one.Object.Resource+"/"+one.Object.Subresource, "/")
			all = append(all, fmt.Sprintf("%s %s %s", one.User.Username, one.Verb, what))
		}
	}
	Expect(lines.Err()).NotTo(HaveOccurred())
	return all
}

const gatewayUser = "system:serviceaccount:bbmcp-system:bbmcp-gateway"

var _ = Describe("the audit log of the API server", func() {
	It("names the caller for every change, and the gateway for deliveries only", func(ctx SpecContext) {
		t := newTenant(ctx)
		caller := clientFor(newAccount(ctx, t.namespace, "caller", editor, publisher))
		path := "/v1/webhooks/" + t.webhook
		decode[rest.Webhook](caller.call(ctx, http.MethodPost, "/v1/webhooks", anotherWebhook), http.StatusCreated)
		decode[rest.Webhook](putWebhook(ctx, caller, t.webhook, newDescription), http.StatusOK)
		for _, verb := range []string{"/suspend", "/resume", "/enable", "/rotate-secret"} {
			decode[rest.Webhook](postAction(ctx, caller, path+verb), http.StatusOK)
		}
		decode[rest.Delivery](postAction(ctx, caller, "/v1/deliveries/"+t.delivery+"/retry"), http.StatusAccepted)
		decode[rest.Delivery](caller.call(ctx, http.MethodPost, path+"/test", testOfOneType), http.StatusAccepted)
		Expect(caller.call(ctx, http.MethodDelete, path, nil).status).To(Equal(http.StatusNoContent))

		byCaller := "system:serviceaccount:" + t.namespace + ":caller "
		var changed, own []string
		for _, write := range listWrites(t.namespace) {
			if what, ok := strings.CutPrefix(write, byCaller); ok {
				changed = append(changed, what)
			}
			if what, ok := strings.CutPrefix(write, gatewayUser+" "); ok {
				own = append(own, what)
			}
		}
		slices.Sort(changed)
		Expect(slices.Compact(changed)).To(Equal([]string{
			"create secrets", "create webhooks", "delete webhooks", "patch webhookdeliveries", "patch webhooks", "update secrets",
		}))
		Expect(own).To(Equal([]string{"create webhookdeliveries"}), "the test event")
	})

	It("contains no other write of the gateway, whatever its callers did", func() {
		others := slices.DeleteFunc(listWrites(""), func(write string) bool {
			return !strings.HasPrefix(write, gatewayUser+" ") || write == gatewayUser+" create webhookdeliveries" ||
				write == gatewayUser+" update webhookdeliveries/status" // of a first attempt that was handed over
		})
		Expect(others).To(BeEmpty())
	})
})

var _ = Describe("the gateway's own rights", func() {
	// These it has: nobody gains by them what RBAC would not give.
	own := []string{
		"get webhooks", "list webhooks", "watch webhooks", "get eventtypes", "list eventtypes", "watch eventtypes",
		"get webhookdeliveries", "list webhookdeliveries", "watch webhookdeliveries", "create webhookdeliveries",
		"get secrets", // to sign first attempts
	}

	It("do not suffice to change webhooks, Secrets, event types or roles", func(ctx SpecContext) {
		for group, resources := range map[string][]string{
			v1alpha1.GroupVersion.Group: {"webhooks", "webhookdeliveries", "eventtypes"},
			"":                          {"secrets", "serviceaccounts"}, "rbac.authorization.k8s.io": {"rolebindings"},
		} {
			for _, resource := range resources {
				for _, verb := range []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "publish", "impersonate", "bind"} {
					Expect(isGatewayAllowed(ctx, group, resource, verb)).To(Equal(slices.Contains(own, verb+" "+resource)), verb+" "+resource)
				}
			}
		}
	})
})

func isGatewayAllowed(ctx context.Context, group, resource, verb string) bool {
	GinkgoHelper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: gatewayUser, Groups: []string{"system:serviceaccounts", "system:serviceaccounts:bbmcp-system", "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: "default", Group: group, Resource: resource, Verb: verb},
	}}
	Expect(cluster.Client.Create(ctx, review)).To(Succeed())
	return review.Status.Allowed
}

var _ = Describe("secrets", func() {
	It("are in the answers that hand them out, and in no other answer, log or audit entry", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "editor", editor)
		given := "the-secret-of-" + namespace
		webhook := createWebhook(ctx, token, webhookBody(namespace).withMembers(object{"secret": given}))
		path := "/v1/webhooks/" + webhook.WebhookID
		secret := rotateSecret(ctx, token, webhook.WebhookID, "")
		awaitRotation(ctx, namespace, webhook.Name)
		for _, got := range []answer{
			clientFor(token).call(ctx, http.MethodPost, "/v1/webhooks", webhookBody(namespace).withMembers(object{"secret": given})),                 // taken
			clientFor(token).call(ctx, http.MethodPost, "/v1/webhooks", webhookBody(namespace).withMembers(object{"secret": given + "\n"})),          // not well formed
			clientFor(token).call(ctx, http.MethodPost, "/v1/webhooks", webhookBody(namespace).withMembers(object{"secret": []string{given}})),       // of another type
			clientFor(token).call(ctx, http.MethodPost, "/v1/webhooks", webhookBody(namespace).withMembers(object{"Secret": given})),                 // misspelt
			clientFor(token).call(ctx, http.MethodPost, "/v1/webhooks", `{"secret":"`+given+`",`),                                                    // cut off
			clientFor(token).call(ctx, http.MethodPost, "/v1/webhooks", `{"secret":"`+given+`","secret":"`+given+`"}`),                               // twice
			clientFor(token).call(ctx, http.MethodPut, path, object{"description": strings.Repeat(given, 100), "url": "https://10.1.2.3/?" + given}), // elsewhere
			clientFor(token).call(ctx, http.MethodGet, path, nil), clientFor(token).call(ctx, http.MethodGet, "/v1/webhooks", nil),
		} {
			Expect(got.body).NotTo(SatisfyAny(ContainSubstring(given), ContainSubstring(secret), ContainSubstring(token)))
		}
		logs, err := cluster.Logs()
		Expect(err).NotTo(HaveOccurred())
		Expect(logs).NotTo(BeEmpty())
		for _, log := range append(logs, cluster.AuditLog()) {
			text, err := os.ReadFile(log)
			Expect(err).NotTo(HaveOccurred())
			for _, hidden := range []string{given, secret, token} {
				Expect(strings.Contains(string(text), hidden)).To(BeFalse(), "%s", filepath.Base(log))
			}
		}
	}, SpecTimeout(time.Minute))
})
