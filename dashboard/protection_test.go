// SPDX-License-Identifier: Apache-2.0

package dashboard_test

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/net/html/atom"
	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// signInCookie signs in over a gateway and returns the cookie as it was set.
func signInCookie(ctx context.Context, token string, header http.Header) *http.Cookie {
	GinkgoHelper()
	form := newReader("token=" + token)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, shared.URL+"/dashboard/sign-in", form)
	Expect(err).NotTo(HaveOccurred())
	request.Header = header.Clone()
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if host := header.Get("Host"); host != "" {
		request.Host = host
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	Expect(response.StatusCode).To(Equal(http.StatusSeeOther))
	Expect(response.Header.Get("Location")).NotTo(ContainSubstring(token))
	Expect(response.Cookies()).To(HaveLen(1))
	return response.Cookies()[0]
}

var _ = Describe("a session", func() {
	It("is a cookie hidden from scripts, other sites and connections without TLS", func(ctx SpecContext) {
		token := newAccount(ctx, newNamespace(ctx), "person", viewer)
		for _, header := range []http.Header{
			{"X-Forwarded-Proto": {"https"}}, {"Forwarded": {"proto=https"}}, {"Host": {"webhooks.example.com"}, "X-Forwarded-Proto": {"https"}},
		} {
			cookie := signInCookie(ctx, token, header)
			Expect(*cookie).To(And(
				HaveField("Name", "__Host-bbmcp-token"), HaveField("Value", token), HaveField("Path", "/"),
				HaveField("HttpOnly", true), HaveField("Secure", true), HaveField("SameSite", http.SameSiteStrictMode),
				HaveField("MaxAge", 0), HaveField("Domain", ""),
			), "%v", header)
		}
		local := signInCookie(ctx, token, http.Header{})
		Expect(*local).To(And(HaveField("Secure", false), HaveField("HttpOnly", true), HaveField("SameSite", http.SameSiteStrictMode)))
	}, SpecTimeout(time.Minute))

	It("without the attribute Secure is accepted on loopback only", func(ctx SpecContext) {
		p := newPerson()
		p.header.Set("Cookie", "bbmcp-token="+newAccount(ctx, newNamespace(ctx), "person", viewer))
		p.visit(ctx, "/dashboard/")
		Expect(p.status).To(Equal(http.StatusOK))
		p.header.Set("X-Forwarded-Proto", "https")
		p.visit(ctx, "/dashboard/")
		Expect(p.status).To(Equal(http.StatusUnauthorized))
	}, SpecTimeout(time.Minute))

	It("can come from a proxy's header, and then cannot be ended by signing out", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		p := newPerson()
		p.header.Set("Authorization", "Bearer "+newAccount(ctx, namespace, "person", viewer))
		p.visit(ctx, "/dashboard/")
		Expect(p.at.Path).To(Equal("/dashboard/ns/" + namespace + "/"))
		Expect(p.status).To(Equal(http.StatusOK))
		Expect(p.hasControl("Sign out")).To(BeFalse())
		p.header.Set("Authorization", "Bearer not.a.token")
		p.visit(ctx, "/dashboard/")
		Expect(p.status).To(Equal(http.StatusUnauthorized))
	}, SpecTimeout(time.Minute))

	It("is refused with a malformed, invalid or revoked token, with advice", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		other, err := cluster.Token(ctx, namespace, "other", nil, "https://elsewhere.example")
		Expect(err).NotTo(HaveOccurred())
		for _, token := range []string{"", "no token", "a.b.c", strings.Repeat("x", 5000), other} {
			p := newPerson()
			p.visit(ctx, "/dashboard/sign-in")
			p.submit(ctx, "Sign in", fields{"token": token})
			Expect(p.status).To(BeElementOf(http.StatusUnauthorized, http.StatusUnprocessableEntity), token)
			Expect(p.mainText()).To(MatchRegexp("token|Token"))
			Expect(p.findForm("Sign in")).NotTo(BeNil())
			if len(token) > 8 {
				Expect(p.source).NotTo(ContainSubstring(token))
			}
		}
		p := newPerson()
		p.visit(ctx, "/dashboard/sign-in")
		p.submit(ctx, "Sign in", fields{"token": strings.Repeat("x", 40<<10)})
		Expect(p.status).To(Equal(http.StatusRequestEntityTooLarge), "anybody may send this form")
		token := newAccount(ctx, namespace, "gone", viewer)
		Expect(cluster.Client.Delete(ctx, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "gone"}})).To(Succeed())
		Eventually(ctx, func() bool {
			review := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}
			Expect(cluster.Client.Create(ctx, review)).To(Succeed())
			return review.Status.Authenticated
		}).Should(BeFalse(), "the API server hears a moment later that the account is gone")
		p = newPerson()
		p.visit(ctx, "/dashboard/sign-in")
		p.submit(ctx, "Sign in", fields{"token": token})
		Expect(p.status).To(Equal(http.StatusUnauthorized))
	}, SpecTimeout(time.Minute))

	It("is not begun without TLS, except on loopback", func(ctx SpecContext) {
		token := newAccount(ctx, newNamespace(ctx), "person", viewer)
		for _, header := range []http.Header{{"X-Forwarded-Proto": {"http"}}, {"Forwarded": {"proto=http"}}} {
			p := newPerson()
			p.header = header
			p.visit(ctx, "/dashboard/")
			Expect(p.status).To(Equal(http.StatusUnauthorized))
			Expect(p.mainText()).To(ContainSubstring("Sign in over https only"))
			Expect(p.findForm("Sign in")).To(BeNil(), "nobody is led to type a token")
			p.send(ctx, http.MethodPost, "/dashboard/sign-in", url.Values{"token": {token}})
			Expect(p.status).To(Equal(http.StatusForbidden))
			Expect(p.answer.Values("Set-Cookie")).To(BeEmpty())
		}
	}, SpecTimeout(time.Minute))

	It("cannot be set by a neighbouring host", func(ctx SpecContext) {
		p := newPerson()
		p.header = http.Header{"X-Forwarded-Proto": {"https"}}
		p.header.Set("Cookie", "__Secure-bbmcp-token="+newAccount(ctx, newNamespace(ctx), "person", viewer))
		p.visit(ctx, "/dashboard/")
		Expect(p.status).To(Equal(http.StatusUnauthorized), "browsers let other hosts of the domain set this one")
	}, SpecTimeout(time.Minute))

	It("explains itself if the browser did not keep the cookie", func(ctx SpecContext) {
		p := newPerson()
		p.visit(ctx, "/dashboard/sign-in?given&to=%2Fdashboard%2F")
		Expect(p.mainText()).To(ContainSubstring("Open the dashboard with https://"))
	}, SpecTimeout(time.Minute))

	It("leads back to the page where it began, and to no other site", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "person", viewer)
		p := newPerson()
		p.visit(ctx, "/dashboard/ns/"+namespace+"/webhooks?state=failing")
		p.submit(ctx, "Sign in", fields{"token": token})
		Expect(p.at.RequestURI()).To(Equal("/dashboard/ns/" + namespace + "/webhooks?state=failing"))
		for _, to := range []string{"https://evil.example/", "//evil.example/dashboard/", "/v1/webhooks", "/dashboard/\\evil.example", "/dashboard/sign-in", "/dashboard/../healthz", "/dashboard/%2e%2e/healthz"} {
			p := newPerson()
			p.visit(ctx, "/dashboard/sign-in")
			p.submit(ctx, "Sign in", fields{"token": token, "to": to})
			Expect(p.at.Path).To(Equal("/dashboard/ns/"+namespace+"/"), to)
		}
	}, SpecTimeout(time.Minute))

	It("is found again after a link from another site", func(ctx SpecContext) {
		p := newPerson()
		p.header = http.Header{"Sec-Fetch-Site": {"cross-site"}, "Sec-Fetch-Mode": {"navigate"}}
		p.visit(ctx, "/dashboard/ns/shop/webhooks")
		Expect(p.status).To(Equal(http.StatusOK))
		Expect(p.source).To(ContainSubstring(`http-equiv="refresh"`))
	}, SpecTimeout(time.Minute))
})

var _ = Describe("every response of the dashboard", func() {
	It("forbids foreign content, frames and caching", func(ctx SpecContext) {
		t := newTenant(ctx)
		p := signIn(ctx, t.member(ctx, "all"))
		base := "/dashboard/ns/" + t.namespace
		for _, path := range []string{
			"/dashboard/sign-in", base + "/", base + "/webhooks", base + "/webhooks/" + t.webhook, base + "/deliveries/" + t.delivery,
			base + "/deliveries/" + t.delivery + "/body", base + "/event-types", base + "/nothing", "/dashboard/nothing",
		} {
			p.visit(ctx, path)
			policy := p.answer.Get("Content-Security-Policy")
			Expect(policy).To(And(HavePrefix("default-src 'self';"), ContainSubstring("frame-ancestors 'none'"), Not(ContainSubstring("unsafe"))), path)
			Expect(p.answer.Get("X-Content-Type-Options")).To(Equal("nosniff"))
			Expect(p.answer.Get("Cache-Control")).To(Equal("no-store"), path)
			for _, node := range findAll(p.page, atom.Script) {
				Expect(attribute(node, "src")).NotTo(BeEmpty(), "%s has a script in it", path)
			}
			Expect(findAll(p.page, atom.Style)).To(BeEmpty(), path)
			Expect(p.source).NotTo(ContainSubstring(" style="), path)
			Expect(p.source).NotTo(MatchRegexp(`\son[a-z]+="`), path)
		}
		Expect(p.status).To(Equal(http.StatusNotFound))
		Expect(p.mainText()).To(ContainSubstring("Begin again"))
	}, SpecTimeout(time.Minute))

	It("may be cached for ever if it is a static file, whose name has its hash", func(ctx SpecContext) {
		p := newPerson()
		p.visit(ctx, "/dashboard/sign-in")
		files := 0
		for _, node := range append(findAll(p.page, atom.Link), findAll(p.page, atom.Script)...) {
			path := attribute(node, "href") + attribute(node, "src")
			p.visit(ctx, path)
			Expect(p.status).To(Equal(http.StatusOK), path)
			Expect(p.answer.Get("Cache-Control")).To(ContainSubstring("immutable"))
			files++
		}
		Expect(files).To(BeNumerically(">=", 4))
		p.visit(ctx, "/dashboard/assets/dashboard.000000000000.css")
		Expect(p.status).To(Equal(http.StatusNotFound))
		p.visit(ctx, "/dashboard/assets/..%2fdoc.go")
		Expect(p.status).To(Equal(http.StatusNotFound))
	}, SpecTimeout(time.Minute))
})

var _ = Describe("a post from another site", func() {
	It("changes nothing, even with a valid cookie", func(ctx SpecContext) {
		t := newTenant(ctx)
		p := signIn(ctx, t.member(ctx, "all"))
		before := fingerprint(ctx, t)
		for _, header := range []http.Header{
			{"Sec-Fetch-Site": {"cross-site"}}, {"Sec-Fetch-Site": {"same-site"}},
			{"Sec-Fetch-Site": {""}, "Origin": {"https://evil.example"}}, {"Sec-Fetch-Site": {""}, "Origin": {"null"}},
		} {
			p.header = header
			for _, r := range rights {
				if strings.HasPrefix(r.call, "POST ") {
					Expect(p.call(ctx, r, t, t.namespace)).To(Equal(forbidden), "%s with %v", r.call, header)
					Expect(p.mainText()).To(ContainSubstring("another site sent this"))
				}
			}
			p.send(ctx, http.MethodPost, "/dashboard/sign-out", nil)
			Expect(p.status).To(Equal(forbidden))
			p.send(ctx, http.MethodPost, "/dashboard/sign-in", map[string][]string{"token": {"a.b.c"}})
			Expect(p.status).To(Equal(forbidden), "nobody is signed in as somebody else")
		}
		Expect(fingerprint(ctx, t)).To(Equal(before))
	}, SpecTimeout(time.Minute))
})

var _ = Describe("secrets and tokens", func() {
	It("are shown at most once, and are in no log", func(ctx SpecContext) {
		namespace := newNamespace(ctx)
		token := newAccount(ctx, namespace, "person", everything...)
		p := signIn(ctx, token)
		base := "/dashboard/ns/" + namespace
		p.visit(ctx, base+"/webhooks/new")
		p.submit(ctx, "Create webhook", fields{"name": "orders", "url": endpoint.URL("/" + namespace), "events": "*"})
		created := secretText.FindString(p.pageText())
		Expect(strings.Count(p.pageText(), created)).To(Equal(1))
		Expect(p.at.String()).NotTo(ContainSubstring("whsec"))
		p.follow(ctx, "I have copied it, go to the webhook")
		p.follow(ctx, "Rotate secret")
		p.submit(ctx, "Make a new secret", nil)
		rotated := secretText.FindString(p.pageText())
		Expect(rotated).NotTo(BeElementOf("", created))
		own := "my-own-secret-of-32-characters--"
		p.visit(ctx, base+"/webhooks/new")
		p.submit(ctx, "Create webhook", fields{"name": "own", "url": "ftp://wrong", "events": "*", "secret": own})
		Expect(p.status).To(Equal(http.StatusUnprocessableEntity))
		Expect(p.source).NotTo(ContainSubstring(own), "what was typed as a secret is not sent back")
		publishEvent(ctx, token, readExample("context.created"))

		p.visit(ctx, base+"/webhooks")
		p.follow(ctx, "orders")
		webhook := p.at.Path
		Eventually(ctx, func() string { p.visit(ctx, webhook); return p.source }).WithTimeout(eventualTimeout).WithPolling(pollEvery).Should(ContainSubstring("dlv_"))
		p.follow(ctx, "context.created")
		delivery := p.at.Path
		for _, path := range []string{
			base + "/", base + "/webhooks", webhook, webhook + "/edit", webhook + "/rotate", webhook + "/test", webhook + "/delete",
			delivery, delivery + "/body", base + "/event-types",
		} {
			p.visit(ctx, path)
			Expect(p.status).To(Equal(http.StatusOK), path)
			for _, secret := range []string{created, rotated, token} {
				Expect(p.pageText()).NotTo(ContainSubstring(secret), path)
			}
		}
		logs, err := cluster.Logs()
		Expect(err).NotTo(HaveOccurred())
		for _, log := range append(logs, cluster.AuditLog()) {
			text, err := os.ReadFile(log)
			Expect(err).NotTo(HaveOccurred())
			for _, secret := range []string{created, rotated, token, own} {
				Expect(strings.Contains(string(text), secret)).To(BeFalse(), log)
			}
			if strings.Contains(log, "gateway-1.log") {
				Expect(string(text)).To(ContainSubstring(`"operation":"dashboard-create"`))
			}
			if log == cluster.AuditLog() {
				for _, noted := range []string{"/namespaces/" + namespace + "/webhooks", "/namespaces/" + namespace + "/secrets/orders-signing", `"requestObject":`} {
					Expect(string(text)).To(ContainSubstring(noted), "it was kept")
				}
			}
		}
	}, SpecTimeout(time.Minute))
})
