// SPDX-License-Identifier: Apache-2.0

package gateway_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

// right is what each role gets from a call, in its own namespace. The rows are
// called in this order on one webhook for each role.
type right struct {
	call string // method and path
	body any
	want [len(roles)]int
}

// roles are the columns: no role at all, the five, the right to publish one
// event type only, and all that a role of Kubernetes itself gives.
var roles = [...]string{"nobody", viewer, deliveryViewer, editor, publisher, admin, "one-type"}

const (
	created201   = http.StatusCreated
	accepted202  = http.StatusAccepted
	gone204      = http.StatusNoContent
	ok200        = http.StatusOK
	forbidden403 = http.StatusForbidden
)

// The table of CONTRACT.md, section 3, by role.
//
//	nobody  viewer  delivery-viewer  editor  publisher  admin  one-type
var rights = []right{
	{"POST /v1/webhooks", anotherWebhook, [...]int{forbidden403, forbidden403, forbidden403, created201, forbidden403, created201, forbidden403}},
	{"GET /v1/webhooks", nil, [...]int{forbidden403, ok200, forbidden403, ok200, forbidden403, ok200, forbidden403}},
	{"GET /v1/webhooks/{webhook}", nil, [...]int{forbidden403, ok200, forbidden403, ok200, forbidden403, ok200, forbidden403}},
	{"PUT /v1/webhooks/{webhook}", newDescription, [...]int{forbidden403, forbidden403, forbidden403, ok200, forbidden403, ok200, forbidden403}},
	{"PATCH /v1/webhooks/{webhook}", newDescription, [...]int{forbidden403, forbidden403, forbidden403, ok200, forbidden403, ok200, forbidden403}},
	{"GET /v1/webhooks/{webhook}/deliveries", nil, [...]int{forbidden403, forbidden403, ok200, ok200, forbidden403, ok200, forbidden403}},
	{"GET /v1/deliveries/{delivery}", nil, [...]int{forbidden403, forbidden403, ok200, ok200, forbidden403, ok200, forbidden403}},
	{"POST /v1/deliveries/{delivery}/retry", nil, [...]int{forbidden403, forbidden403, forbidden403, accepted202, forbidden403, accepted202, forbidden403}},
	{"POST /v1/webhooks/{webhook}/test", testOfOneType, [...]int{forbidden403, forbidden403, forbidden403, forbidden403, accepted202, forbidden403, accepted202}},
	{"POST /v1/webhooks/{webhook}/test", testOfAnotherType, [...]int{forbidden403, forbidden403, forbidden403, forbidden403, accepted202, forbidden403, forbidden403}},
	{"POST /v1/events", publishOneType, [...]int{forbidden403, forbidden403, forbidden403, forbidden403, accepted202, forbidden403, accepted202}},
	{"POST /v1/events", publishAnother, [...]int{forbidden403, forbidden403, forbidden403, forbidden403, accepted202, forbidden403, forbidden403}},
	{"POST /v1/events", eventBody(""), [...]int{forbidden403, forbidden403, forbidden403, forbidden403, accepted202, forbidden403, accepted202}},
	{"POST /v1/events", anotherEvent, [...]int{forbidden403, forbidden403, forbidden403, forbidden403, accepted202, forbidden403, forbidden403}},
	{"POST /v1/webhooks/{webhook}/suspend", nil, [...]int{forbidden403, forbidden403, forbidden403, ok200, forbidden403, ok200, forbidden403}},
	{"POST /v1/webhooks/{webhook}/resume", nil, [...]int{forbidden403, forbidden403, forbidden403, ok200, forbidden403, ok200, forbidden403}},
	{"POST /v1/webhooks/{webhook}/enable", nil, [...]int{forbidden403, forbidden403, forbidden403, ok200, forbidden403, ok200, forbidden403}},
	{"POST /v1/webhooks/{webhook}/rotate-secret", nil, [...]int{forbidden403, forbidden403, forbidden403, ok200, forbidden403, ok200, forbidden403}},
	{"GET /v1/event-types", nil, [...]int{ok200, ok200, ok200, ok200, ok200, ok200, ok200}},
	{"DELETE /v1/webhooks/{webhook}", nil, [...]int{forbidden403, forbidden403, forbidden403, gone204, forbidden403, gone204, forbidden403}},
}

var (
	anotherWebhook    = object{"name": "another", "url": "https://example.com/hook", "events": []string{"*"}}
	newDescription    = object{"description": "a note"}
	testOfOneType     = object{"event": "context.created"}
	testOfAnotherType = object{"event": "context.failed"}

	publishOneType = eventBody("")
	publishAnother = `{"event":"context.failed","data":{"context_id":"ctx_1","agent_id":"a","transaction_hash":"0x1","context_hash":"0x2","status":"failed","error":{"code":"E","message":"m"}}}`
)

const anotherEvent = `{"event":"context.failed","data":{"context_id":"ctx_1","agent_id":"agent","transaction_hash":null,"status":"failed",` +
	`"error":{"code":"BLOCKCHAIN_ERROR","message":"failed","details":"out of gas"},"retry_possible":true,"failure_reason":"insufficient_gas"}}`

// tenant is a namespace with a webhook and a delivery that waits for its retry.
type tenant struct {
	namespace, webhook, delivery string
	owner                        string // token of an editor
}

func newTenant(ctx context.Context) tenant {
	GinkgoHelper()
	t := tenant{namespace: newNamespace(ctx)}
	t.owner = newAccount(ctx, t.namespace, "owner", editor)
	endpoint.Script("/"+t.namespace, receiver.Step{Status: http.StatusInternalServerError})
	webhook := createWebhook(ctx, t.owner, webhookBody(t.namespace))
	t.webhook = webhook.WebhookID
	kept := readWebhook(ctx, t.namespace, webhook)
	patient := []byte(`{"spec":{"retryPolicy":{"delays":["24h","24h"]}}}`)
	Expect(cluster.Client.Patch(ctx, kept, client.RawPatch(types.MergePatchType, patient))).To(Succeed())
	createDeliveries(ctx, kept, 0, 1)
	t.delivery = awaitDeliveryState(ctx, t.owner, t.webhook, rest.DeliveryRetrying).DeliveryID
	return t
}

// member makes a ServiceAccount of the tenant with one of the roles.
func (t tenant) member(ctx context.Context, role string) string {
	GinkgoHelper()
	switch role {
	case "nobody":
		return newAccount(ctx, t.namespace, role)
	case "one-type":
		return newAccountWithRules(ctx, t.namespace, role, rbacv1.PolicyRule{
			APIGroups: []string{"bbmcp.quietstack.com"}, Resources: []string{"eventtypes"}, ResourceNames: []string{"context.created"}, Verbs: []string{"publish"},
		})
	}
	return newAccount(ctx, t.namespace, role, role)
}

// path fills in what a call is about; query names the namespace.
func (r right) request(webhook, delivery, query string) (method, path string) {
	method, path, _ = strings.Cut(r.call, " ")
	return method, strings.NewReplacer("{webhook}", webhook, "{delivery}", delivery).Replace(path) + query
}

// namesObject reports whether a call names an object.
func (r right) namesObject() bool { return strings.Contains(r.call, "{") }

var requestID = regexp.MustCompile(`"request_id":"[^"]*"`)

// refusalText is what a caller can learn from a refusal.
func refusalText(got answer) string {
	return fmt.Sprint(got.status, requestID.ReplaceAllString(got.body, ""))
}

// Ids that no object has.
var (
	missingWebhook  = identity.WebhookID("nowhere", "nothing")
	missingDelivery = identity.DeliveryID("nothing", "nowhere")
)

var _ = Describe("rights", func() {
	for column, role := range roles {
		It("of "+role+" are those of the table", func(ctx SpecContext) {
			t := newTenant(ctx)
			caller := clientFor(t.member(ctx, role))
			for _, r := range rights {
				if r.namesObject() {
					method, path := r.request(missingWebhook, missingDelivery, "")
					missing := caller.call(ctx, method, path, r.body)
					if r.want[column] == forbidden403 {
						method, path = r.request(t.webhook, t.delivery, "")
						Expect(refusalText(missing)).To(Equal(refusalText(caller.call(ctx, method, path, r.body))), "%s: nobody learns what exists", r.call)
					} else {
						Expect(missing.status).To(Equal(http.StatusNotFound), "%s: %s", r.call, missing.body)
					}
				}
				method, path := r.request(t.webhook, t.delivery, "")
				got := caller.call(ctx, method, path, r.body)
				Expect(got.status).To(Equal(r.want[column]), "%s: %s", r.call, got.body)
				if got.status == forbidden403 {
					Expect(decodeProblem(got, forbidden403).Reason).To(Equal("Forbidden"))
				}
			}
		}, SpecTimeout(2*time.Minute))
	}

	It("end at the namespace, however many a caller has in its own", func(ctx SpecContext) {
		ours, theirs := newTenant(ctx), newTenant(ctx)
		caller := clientFor(newAccount(ctx, ours.namespace, "all", viewer, deliveryViewer, editor, publisher, admin))
		before := fingerprint(ctx, theirs)
		for _, r := range rights {
			if strings.Contains(r.call, "event-types") {
				continue
			}
			if r.namesObject() {
				method, path := r.request(theirs.webhook, theirs.delivery, "")
				existing := caller.call(ctx, method, path, r.body)
				method, path = r.request(missingWebhook, missingDelivery, "")
				Expect(existing.status).To(Equal(http.StatusNotFound), r.call)
				Expect(refusalText(existing)).To(Equal(refusalText(caller.call(ctx, method, path, r.body))), r.call)
			}
			for _, namespace := range []string{theirs.namespace, "default", "no-such-namespace"} {
				method, path := r.request(theirs.webhook, theirs.delivery, "?namespace="+namespace)
				existing := caller.call(ctx, method, path, r.body)
				Expect(existing.status).To(Equal(forbidden403), "%s in %s: %s", r.call, namespace, existing.body)
				method, path = r.request(missingWebhook, missingDelivery, "?namespace="+namespace)
				Expect(refusalText(existing)).To(Equal(refusalText(caller.call(ctx, method, path, r.body))), r.call)
			}
		}
		Expect(fingerprint(ctx, theirs)).To(Equal(before))
		for _, r := range rights { // and their owner may still do everything but publish
			if method, path := r.request(theirs.webhook, theirs.delivery, ""); method == http.MethodGet {
				Expect(clientFor(theirs.owner).call(ctx, method, path, nil).status).To(Equal(ok200), r.call)
			}
		}
	}, SpecTimeout(2*time.Minute))

	It("reach into another namespace by a RoleBinding there", func(ctx SpecContext) {
		ours, theirs := newTenant(ctx), newTenant(ctx)
		token := ours.member(ctx, "nobody")
		Expect(cluster.Client.Create(ctx, newRoleBinding(theirs.namespace, viewer, ours.namespace, "nobody"))).To(Succeed())
		got := clientFor(token).call(ctx, http.MethodGet, "/v1/webhooks/"+theirs.webhook+"?namespace="+theirs.namespace, nil)
		Expect(decode[rest.Webhook](got, ok200).WebhookID).To(Equal(theirs.webhook))
		decodeProblem(clientFor(token).call(ctx, http.MethodPut, "/v1/webhooks/"+theirs.webhook+"?namespace="+theirs.namespace, newDescription), forbidden403)
	})

	It("narrowed to one webhook's name hold for that webhook only", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		owner := newAccount(ctx, namespace, "owner", editor)
		mine, other := createWebhook(ctx, owner, webhookBody(namespace).withMembers(object{"name": "mine"})), createWebhook(ctx, owner, webhookBody(namespace).withMembers(object{"name": "other"}))
		rule := ruleFor("webhooks", "get", "patch")
		rule.ResourceNames = []string{"mine"}
		caller := clientFor(newAccountWithRules(ctx, namespace, "narrow", rule))
		decode[rest.Webhook](putWebhook(ctx, caller, mine.WebhookID, newDescription), ok200)
		refused := putWebhook(ctx, caller, other.WebhookID, newDescription)
		Expect(refusalText(refused)).To(Equal(refusalText(putWebhook(ctx, caller, missingWebhook, newDescription))))
		Expect(refused.body).NotTo(ContainSubstring("other"))
	})
})

var _ = Describe("a caller without rights", func() {
	It("cannot learn from the number of access reviews whether an id exists", func(ctx SpecContext) {
		front, err := cluster.StartGateway(ctx, gatewayOptions())
		Expect(err).NotTo(HaveOccurred())
		DeferCleanup(front.Kill)
		t := newTenant(ctx)
		caller := apiClient{base: front.URL, token: newAccount(ctx, newNamespace(ctx), "stranger")}
		questions := func() float64 {
			GinkgoHelper()
			samples, err := stack.Scrape(ctx, front.MetricsURL)
			Expect(err).NotTo(HaveOccurred())
			return samples.Sum("bbmcp_access_reviews_total")
		}
		cost := func(path string) float64 {
			GinkgoHelper()
			before := questions()
			decodeProblem(caller.call(ctx, http.MethodGet, path+"?namespace="+t.namespace, nil), forbidden403)
			return questions() - before
		}
		for _, kind := range []struct{ path, there, other, another string }{
			{"/v1/webhooks/", t.webhook, identity.WebhookID("a", "b"), identity.WebhookID("c", "d")},
			{"/v1/deliveries/", t.delivery, identity.DeliveryID("a", "b"), identity.DeliveryID("c", "d")},
		} {
			cost(kind.path + kind.other) // and the namespace is asked about
			there, another := cost(kind.path+kind.there), cost(kind.path+kind.another)
			Expect(there).To(Equal(another), kind.path)
			Expect(there).To(BeNumerically(">", 0))
			Expect(cost(kind.path+kind.there)).To(Equal(cost(kind.path+kind.another)), "asked again")
		}
	}, SpecTimeout(time.Minute))
})

func newRoleBinding(namespace, role, accountNamespace, accountName string) *rbacv1.RoleBinding {
	binding := &rbacv1.RoleBinding{
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: accountNamespace, Name: accountName}},
	}
	binding.Namespace, binding.Name = namespace, accountNamespace+"-"+role
	return binding
}

// fingerprint is all that a tenant has, as its owner sees it.
func fingerprint(ctx context.Context, t tenant) string {
	GinkgoHelper()
	webhooks := clientFor(t.owner).call(ctx, http.MethodGet, "/v1/webhooks", nil)
	delivery := clientFor(t.owner).call(ctx, http.MethodGet, "/v1/deliveries/"+t.delivery, nil)
	return webhooks.body + delivery.body + fmt.Sprint(len(listWebhookDeliveries(ctx, t.owner, t.webhook)), secretData(readSecret(ctx, t.namespace, "orders")))
}

// shiftToken is a token as the API server would have signed it some time ago.
func shiftToken(token string, by time.Duration) string {
	GinkgoHelper()
	text, err := os.ReadFile(filepath.Join(cluster.ControlPlane.Dir(), "serviceaccount.key"))
	Expect(err).NotTo(HaveOccurred())
	block, _ := pem.Decode(text)
	var key *ecdsa.PrivateKey
	if key, err = x509.ParseECPrivateKey(block.Bytes); err != nil {
		parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
		Expect(err).NotTo(HaveOccurred())
		key = parsed.(*ecdsa.PrivateKey)
	}
	parts := strings.Split(token, ".")
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	Expect(err).NotTo(HaveOccurred())
	var claims map[string]any
	Expect(json.Unmarshal(raw, &claims)).To(Succeed())
	for _, name := range []string{"exp", "iat", "nbf"} {
		claims[name] = int64(claims[name].(float64) + by.Seconds())
	}
	raw, err = json.Marshal(claims)
	Expect(err).NotTo(HaveOccurred())
	signed := parts[0] + "." + base64.RawURLEncoding.EncodeToString(raw)
	sum := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, key, sum[:])
	Expect(err).NotTo(HaveOccurred())
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
}

var _ = Describe("a token", func() {
	// refusedEverywhere tries every call of the table, and finds one answer.
	refusedEverywhere := func(ctx context.Context, t tenant, caller apiClient) {
		GinkgoHelper()
		for _, r := range rights {
			for _, query := range []string{"", "?namespace=" + t.namespace} {
				if strings.Contains(r.call, "event-types") && query != "" {
					continue
				}
				method, path := r.request(t.webhook, t.delivery, query)
				got := caller.call(ctx, method, path, r.body)
				problem := decodeProblem(got, http.StatusUnauthorized)
				Expect(problem.Reason).To(Equal("Unauthenticated"), r.call)
				Expect(got.header.Get("WWW-Authenticate")).To(HavePrefix("Bearer"), r.call)
			}
		}
	}

	It("is needed, and must be well formed and signed", func(ctx SpecContext) {
		t := newTenant(ctx)
		good := t.member(ctx, editor)
		header, body, _ := strings.Cut(good, ".")
		body, signature, _ := strings.Cut(body, ".")
		for about, caller := range map[string]apiClient{
			"none":             clientFor(""),
			"garbage":          clientFor("garbage"),
			"shaped like one":  clientFor("a.b.c"),
			"without its end":  clientFor(good[:len(good)-8]),
			"another's ending": clientFor(header + "." + body + "." + signature[:len(signature)-4] + "AAAA"),
			"of another kind":  clientFor("").withHeader("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("a:"+good))),
			"an empty bearer":  clientFor("").withHeader("Authorization", "Bearer "),
			"of endless size":  clientFor(strings.Repeat("a", 20<<10) + ".b.c"),
		} {
			By(about)
			refusedEverywhere(ctx, t, caller)
		}
	}, SpecTimeout(2*time.Minute))

	It("must be meant for the API server", func(ctx SpecContext) {
		t := newTenant(ctx)
		t.member(ctx, admin)
		token, err := cluster.Token(ctx, t.namespace, admin, nil, "https://vault.example.com")
		Expect(err).NotTo(HaveOccurred())
		refusedEverywhere(ctx, t, clientFor(token))
	})

	It("must not have expired", func(ctx SpecContext) {
		t := newTenant(ctx)
		token := t.member(ctx, editor)
		Expect(clientFor(shiftToken(token, -time.Minute)).call(ctx, http.MethodGet, "/v1/webhooks", nil).status).To(Equal(ok200), "its signature is good")
		refusedEverywhere(ctx, t, clientFor(shiftToken(token, -25*time.Hour)))
		refusedEverywhere(ctx, t, clientFor(shiftToken(token, time.Hour)))
	})

	It("is not needed for the OpenAPI document and the probes", func(ctx SpecContext) {
		for _, path := range []string{"/openapi.json", "/healthz", "/readyz"} {
			Expect(getWithoutToken(ctx, path)).To(Equal(ok200), path)
		}
	})
})

func getWithoutToken(ctx context.Context, path string) int {
	GinkgoHelper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, sharedGateway.URL+path, nil)
	Expect(err).NotTo(HaveOccurred())
	response, err := http.DefaultClient.Do(request)
	Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	return response.StatusCode
}
