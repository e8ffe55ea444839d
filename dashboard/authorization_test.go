// SPDX-License-Identifier: Apache-2.0

package dashboard_test

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// roles are the columns of the table; "all" has every role but admin.
var roles = [...]string{"nobody", viewer, deliveryViewer, editor, publisher, admin, "all"}

const (
	ok        = http.StatusOK
	forbidden = http.StatusForbidden
)

// right is what each role gets of a page, or for a post, sent as a page would
// send it whether it was offered or not. Where something is done, that is the
// page that the post leads to.
type right struct {
	call string
	form url.Values
	want [len(roles)]int
}

// nobody viewer delivery-viewer editor publisher admin all
var rights = []right{
	{"GET /", nil, [...]int{forbidden, ok, forbidden, ok, forbidden, ok, ok}},
	{"GET /webhooks", nil, [...]int{forbidden, ok, forbidden, ok, forbidden, ok, ok}},
	{"GET /webhooks/new", nil, [...]int{forbidden, forbidden, forbidden, ok, forbidden, ok, ok}},
	{"GET /webhooks/{webhook}", nil, [...]int{forbidden, ok, forbidden, ok, forbidden, ok, ok}},
	{"GET /webhooks/{webhook}/edit", nil, [...]int{forbidden, forbidden, forbidden, ok, forbidden, ok, ok}},
	{"GET /webhooks/{webhook}/rotate", nil, [...]int{forbidden, forbidden, forbidden, ok, forbidden, ok, ok}},
	{"GET /webhooks/{webhook}/delete", nil, [...]int{forbidden, forbidden, forbidden, ok, forbidden, ok, ok}},
	{"GET /webhooks/{webhook}/test", nil, [...]int{forbidden, forbidden, forbidden, forbidden, forbidden, forbidden, ok}},
	{"GET /deliveries/{delivery}", nil, [...]int{forbidden, forbidden, ok, ok, forbidden, ok, ok}},
	{"GET /deliveries/{delivery}/body", nil, [...]int{forbidden, forbidden, ok, ok, forbidden, ok, ok}},
	{"GET /event-types", nil, [...]int{ok, ok, ok, ok, ok, ok, ok}},
	{"POST /webhooks", url.Values{"name": {"another"}, "url": {"https://example.com/"}, "events": {"*"}}, [...]int{forbidden, forbidden, forbidden, ok, forbidden, ok, ok}},
	{"POST /webhooks/{webhook}/edit", url.Values{"url": {"{url}"}, "events": {"*"}, "description": {"a note"}}, [...]int{forbidden, forbidden, forbidden, ok, forbidden, ok, ok}},
	{"POST /webhooks/{webhook}/test", url.Values{"event": {"context.created"}}, [...]int{forbidden, forbidden, forbidden, forbidden, ok, forbidden, ok}},
	{"POST /deliveries/{delivery}/retry", nil, [...]int{forbidden, forbidden, forbidden, ok, forbidden, ok, ok}},
	{"POST /webhooks/{webhook}/suspend", nil, [...]int{forbidden, forbidden, forbidden, ok, forbidden, ok, ok}},
	{"POST /webhooks/{webhook}/resume", nil, [...]int{forbidden, forbidden, forbidden, ok, forbidden, ok, ok}},
	{"POST /webhooks/{webhook}/enable", nil, [...]int{forbidden, forbidden, forbidden, ok, forbidden, ok, ok}},
	{"POST /webhooks/{webhook}/rotate", url.Values{"key": {"once"}}, [...]int{forbidden, forbidden, forbidden, ok, forbidden, ok, ok}},
	{"POST /webhooks/{webhook}/delete", nil, [...]int{forbidden, forbidden, forbidden, ok, forbidden, ok, ok}},
}

// actions are what is offered on the pages of a webhook and of a delivery, by
// the call that it leads to.
var actions = map[string]string{
	"Send test event": "GET /webhooks/{webhook}/test", "Edit": "GET /webhooks/{webhook}/edit", "Suspend": "POST /webhooks/{webhook}/suspend",
	"Rotate secret": "GET /webhooks/{webhook}/rotate", "Delete": "GET /webhooks/{webhook}/delete", "Retry now": "POST /deliveries/{delivery}/retry",
	"New webhook": "GET /webhooks/new",
}

// tenant is a namespace with a webhook and a delivery that failed.
type tenant struct{ namespace, webhook, delivery string }

func newTenant(ctx context.Context) tenant {
	GinkgoHelper()
	t := tenant{namespace: newNamespace(ctx)}
	endpoint.Script("/"+t.namespace, receiver.Step{Status: http.StatusInternalServerError})
	t.webhook = createWebhook(ctx, t.namespace, "orders", endpoint.URL("/"+t.namespace))
	publishEvent(ctx, newAccount(ctx, t.namespace, "source", publisher), readExample("context.created"))
	t.delivery = awaitDelivery(ctx, t.namespace, v1alpha1.DeliveryFailed)
	return t
}

func (t tenant) member(ctx context.Context, role string) string {
	GinkgoHelper()
	switch role {
	case "nobody":
		return newAccount(ctx, t.namespace, role)
	case "all":
		return newAccount(ctx, t.namespace, role, everything...)
	}
	return newAccount(ctx, t.namespace, role, role)
}

// call does what a row says, to the objects of a tenant, in a namespace.
func (p *person) call(ctx context.Context, r right, t tenant, namespace string) int {
	GinkgoHelper()
	method, path, _ := strings.Cut(r.call, " ")
	path = strings.NewReplacer("{webhook}", t.webhook, "{delivery}", t.delivery).Replace(path)
	form := url.Values{}
	for name, values := range r.form {
		form.Set(name, strings.ReplaceAll(values[0], "{url}", endpoint.URL("/"+t.namespace)))
	}
	p.send(ctx, method, "/dashboard/ns/"+namespace+path, form)
	return p.status
}

// fingerprint changes with anything that a person could do to the webhook.
func fingerprint(ctx context.Context, t tenant) string {
	GinkgoHelper()
	var webhook v1alpha1.Webhook
	Expect(cluster.Client.Get(ctx, types.NamespacedName{Namespace: t.namespace, Name: "orders"}, &webhook)).To(Succeed())
	var deliveries v1alpha1.WebhookDeliveryList
	Expect(cluster.Client.List(ctx, &deliveries, inNamespace(t.namespace))).To(Succeed())
	attempts := int32(0)
	for _, delivery := range deliveries.Items {
		attempts += delivery.Status.Attempts
	}
	return fmt.Sprint(webhook.Generation, webhook.Annotations, len(deliveries.Items), attempts)
}

var _ = Describe("rights", func() {
	for column, role := range roles {
		It("of "+role+" are those of the table, and nothing else is offered", func(ctx SpecContext) {
			t := newTenant(ctx)
			p := newPerson()
			p.visit(ctx, "/dashboard/")
			p.submit(ctx, "Sign in", fields{"token": t.member(ctx, role)})
			may := map[string]bool{}
			for _, r := range rights {
				may[r.call] = r.want[column] == ok
			}
			p.visit(ctx, "/dashboard/ns/"+t.namespace+"/webhooks/"+t.webhook)
			onWebhook := p.status == ok
			for action, call := range actions {
				switch {
				case action == "Retry now":
					p.visit(ctx, "/dashboard/ns/"+t.namespace+"/deliveries/"+t.delivery)
				case action == "New webhook":
					p.visit(ctx, "/dashboard/ns/"+t.namespace+"/webhooks")
				default:
					p.visit(ctx, "/dashboard/ns/"+t.namespace+"/webhooks/"+t.webhook)
				}
				seen := p.status == ok
				Expect(p.hasControl(action)).To(Equal(seen && may[call]), "%s for %s", action, role)
			}
			Expect(onWebhook).To(Equal(may["GET /webhooks/{webhook}"]))

			before := fingerprint(ctx, t)
			for _, r := range rights {
				Expect(p.call(ctx, r, t, t.namespace)).To(Equal(r.want[column]), "%s for %s: %s", r.call, role, p.mainText())
				if r.want[column] == forbidden {
					Expect(p.mainText()).To(ContainSubstring("You may not"), r.call)
					Expect(p.mainText()).To(ContainSubstring("bbmcp-"), "%s: the role is named", r.call)
					if !may["POST /webhooks/{webhook}/edit"] && !may["POST /webhooks/{webhook}/test"] {
						Expect(fingerprint(ctx, t)).To(Equal(before), r.call)
					}
				}
			}
		}, SpecTimeout(2*time.Minute))
	}

	It("end at the namespace, on every page", func(ctx SpecContext) {
		ours, theirs := newTenant(ctx), newTenant(ctx)
		p := signIn(ctx, newAccount(ctx, ours.namespace, "all", everything...))
		before := fingerprint(ctx, theirs)
		missing := tenant{webhook: identity.WebhookID("nowhere", "nothing"), delivery: identity.DeliveryID("nothing", "nowhere")}
		for _, r := range rights {
			if strings.Contains(r.call, "event-types") {
				continue
			}
			Expect(p.call(ctx, r, theirs, theirs.namespace)).To(Equal(forbidden), r.call)
			refused := withoutID(p.mainText())
			p.call(ctx, r, missing, theirs.namespace)
			Expect(withoutID(p.mainText())).To(Equal(refused), "%s: nobody learns what exists", r.call)
			if strings.Contains(r.call, "{") {
				Expect(p.call(ctx, r, theirs, ours.namespace)).To(Equal(http.StatusNotFound), "%s: %s", r.call, p.mainText())
			}
		}
		Expect(fingerprint(ctx, theirs)).To(Equal(before))
		p.visit(ctx, "/dashboard/ns/"+theirs.namespace+"/event-types")
		Expect(p.mainText()).To(ContainSubstring("You may not see who wants it"))
		Expect(p.mainText()).NotTo(ContainSubstring("orders"))
	}, SpecTimeout(2*time.Minute))

	It("of a viewer of webhooks do not include deliveries", func(ctx SpecContext) {
		t := newTenant(ctx)
		p := signIn(ctx, t.member(ctx, viewer))
		Expect(p.mainText()).To(ContainSubstring("bbmcp-delivery-viewer"))
		Expect(p.source).NotTo(ContainSubstring("dlv_"))
		p.visit(ctx, "/dashboard/ns/"+t.namespace+"/webhooks/"+t.webhook)
		Expect(p.mainText()).To(And(ContainSubstring("bbmcp-delivery-viewer"), ContainSubstring("not shown to you")))
		Expect(p.source).NotTo(ContainSubstring("dlv_"))
		Expect(p.source).NotTo(ContainSubstring("<svg class=\"plot\""))
	}, SpecTimeout(time.Minute))
})
