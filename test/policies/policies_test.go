// SPDX-License-Identifier: Apache-2.0

package policies

import (
	"fmt"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

func TestPolicies(t *testing.T) {
	c := newCluster(t, values)
	c.populate(t)
	t.Run("created deliveries", c.createdDeliveries)
	t.Run("changed deliveries", c.changedDeliveries)
	t.Run("status", c.status)
	t.Run("secrets", c.secrets)
	t.Run("an editor reads none", c.unreadable)
	t.Run("secrets of the product", c.ownSecrets)
	t.Run("urls", c.urls)
	t.Run("controllers of Kubernetes", c.controllers)
	t.Run("each rule is tested", c.rules)
}

func (c *cluster) createdDeliveries(t *testing.T) {
	whole := newDelivery("a", withFirstAttempt, withPublisher, fromGateway, withUnrecorded, heldBack(24*time.Hour), ownedBy("Webhook", "orders"))
	c.try(t, []attempt{
		{"the namespace's owner makes one by hand", owner, creates(newDelivery("a")), ""},
		{"with labels and an owner of another kind", owner, creates(newDelivery("a", labelled, ownedBy("ConfigMap", "batch"))), ""},
		{"for the webhook that owns it", owner, creates(newDelivery("a", ownedBy("Webhook", "orders"))), ""},
		{"that waits for half an hour", owner, creates(newDelivery("a", heldBack(30*time.Minute))), ""},
		{"from Git, by server-side apply", gitops, applies(newDelivery("a", labelled)), ""},
		{"by the gateway, with all that it knows", gateway, creates(whole), ""},
		{"restored by a trusted ServiceAccount", backup, creates(whole), ""},
		{"restored by a trusted user", restorer, creates(whole), ""},
		{"restored by a trusted group", rescuer, creates(whole), ""},

		{"with a first attempt", owner, creates(newDelivery("a", withFirstAttempt)), "spec.firstAttempt"},
		{"with a first attempt, from Git", gitops, applies(newDelivery("a", withFirstAttempt)), "spec.firstAttempt"},
		{"with a first attempt, by a cluster-admin", operator, creates(newDelivery("a", withFirstAttempt)), "policies.trusted"},
		{"with a publisher", owner, creates(newDelivery("a", withPublisher)), "spec.publishedBy"},
		{"that says it is the gateway's", owner, creates(newDelivery("a", fromGateway)), "bbmcp.quietstack.com/origin"},
		{"that counts for others", owner, creates(newDelivery("a", withUnrecorded)), "bbmcp.quietstack.com/unrecorded"},
		{"that waits for a day", owner, creates(newDelivery("a", heldBack(24*time.Hour))), "spec.notBefore"},
		{"owned by another webhook", owner, creates(newDelivery("a", ownedBy("Webhook", "victim"))), "spec.webhookRef"},
	})
}

const (
	retry     = `{"metadata":{"annotations":{"bbmcp.quietstack.com/retry-requested-at":"now"}}}`
	noRetry   = `{"metadata":{"annotations":{"bbmcp.quietstack.com/retry-requested-at":null}}}`
	note      = `{"metadata":{"annotations":{"note":"seen"}}}`
	label     = `{"metadata":{"labels":{"team":"b"}}}`
	noOrigin  = `{"metadata":{"labels":{"bbmcp.quietstack.com/origin":null}}}`
	origin    = `{"metadata":{"labels":{"bbmcp.quietstack.com/origin":"gateway"}}}`
	uncounted = `{"metadata":{"annotations":{"bbmcp.quietstack.com/unrecorded":null}}}`
	finalizer = `{"metadata":{"finalizers":["example.com/for-ever"]}}`
	disown    = `{"metadata":{"ownerReferences":null}}`
	steal     = `{"metadata":{"ownerReferences":[{"apiVersion":"bbmcp.quietstack.com/v1alpha1","kind":"Webhook","name":%q,"uid":"0d1d7b5f-0000-4000-8000-000000000001"}]}}`
	onlyRetry = "only the annotation bbmcp.quietstack.com/retry-requested-at"
)

func (c *cluster) changedDeliveries(t *testing.T) {
	byHand, made := newDelivery("by-hand", labelled), newDelivery("made", fromGateway, withUnrecorded, withFirstAttempt)
	made.Spec.WebhookRef.Name, made.OwnerReferences = "victim", c.webhook(t, "victim")
	c.create(t, byHand)
	c.create(t, made)
	victim, orders := fmt.Sprintf(steal, "victim"), fmt.Sprintf(steal, "orders")
	c.try(t, []attempt{
		{"on call: a retry", onCall, patches(made, retry), ""},
		{"on call: no retry after all", onCall, patches(made, noRetry), ""},
		{"on call: a retry by update", onCall, updates(made, func(d *v1alpha1.WebhookDelivery) {
			metav1.SetMetaDataAnnotation(&d.ObjectMeta, v1alpha1.RetryRequestedAtAnnotation, "now")
		}), ""},
		{"on call: nothing changed", onCall, updates(made, func(*v1alpha1.WebhookDelivery) {}), ""},
		{"an editor: a retry", editor, patches(byHand, retry), ""},
		{"an owner of the namespace: a note", owner, patches(byHand, note), ""},
		{"an owner of the namespace: a label of one of the gateway's", owner, patches(made, label), ""},
		{"an owner of the namespace: a finalizer", owner, patches(made, finalizer), ""},
		{"from Git: labels", gitops, applies(newDelivery("by-hand", func(d *v1alpha1.WebhookDelivery) { d.Labels = map[string]string{"app": "shop"} })), ""},
		{"the manager adopts one", manager, patches(byHand, orders), ""},
		{"a trusted tool changes all", backup, patches(made, uncounted), ""},

		{"on call: deletes by an owner that is not there", onCall, patches(made, victim), onlyRetry},
		{"on call: keeps it for ever", onCall, patches(made, finalizer), onlyRetry},
		{"on call: keeps it from the garbage collector", onCall, patches(made, disown), onlyRetry},
		{"on call: a label", onCall, patches(byHand, label), onlyRetry},
		{"on call: a note", onCall, patches(byHand, note), onlyRetry},
		{"on call: no label", onCall, updates(byHand, func(d *v1alpha1.WebhookDelivery) { d.Labels = nil }), onlyRetry},
		{"an editor: keeps it for ever", editor, patches(byHand, finalizer), onlyRetry},
		{"an owner of the namespace: keeps it from retention", owner, patches(made, noOrigin), "bbmcp.quietstack.com/origin"},
		{"an owner of the namespace: has it deleted by retention", owner, patches(byHand, origin), "bbmcp.quietstack.com/origin"},
		{"an owner of the namespace: counts", owner, patches(made, uncounted), "bbmcp.quietstack.com/unrecorded"},
		{"an owner of the namespace: gives it to another webhook", owner, patches(byHand, victim), "spec.webhookRef"},
	})
}

func (c *cluster) status(t *testing.T) {
	delivery, webhook, eventType := newDelivery("settled"), newWebhook("settled"), newEventType("settled.type")
	c.create(t, delivery)
	c.create(t, webhook)
	c.create(t, eventType)
	const refused = "status is written by bbmcp-webhooks alone"
	var attempts []attempt
	for kind, object := range map[string]client.Object{"delivery": delivery, "webhook": webhook, "event type": eventType} {
		attempts = append(attempts,
			attempt{kind + " by the manager", manager, writesStatus(object), ""},
			attempt{kind + " by a trusted tool", backup, writesStatus(object), ""},
			attempt{kind + " by a cluster-admin", operator, writesStatus(object), refused},
			attempt{kind + " from Git", gitops, writesStatus(object), refused})
	}
	c.try(t, append(attempts,
		attempt{"delivery by the gateway", gateway, writesStatus(delivery), ""},
		attempt{"a webhook's spec by who may not write its status", operator, patches(webhook, `{"spec":{"suspend":true}}`), ""},
	))
	if err := writesStatus(webhook)(t.Context(), c.as(t, gateway)); err == nil {
		t.Error("the gateway writes the status of a webhook")
	}
}

func (c *cluster) secrets(t *testing.T) {
	const token, key = corev1.SecretTypeServiceAccountToken, "only who may read them may write them"
	mine, plain, odd := newSecret("orders-signing", corev1.SecretTypeOpaque, signing), newSecret("plain", corev1.SecretTypeOpaque), newSecret("odd", corev1.SecretTypeTLS)
	held := newSecret("bbmcp-key-shop", corev1.SecretTypeOpaque)
	mine.OwnerReferences = c.webhook(t, "orders")
	for _, secret := range []*corev1.Secret{mine, plain, odd, held} {
		c.create(t, secret)
	}
	replace := func(secret *corev1.Secret) *corev1.Secret {
		secret = secret.DeepCopy()
		secret.ResourceVersion, secret.UID = "", ""
		return secret
	}
	c.try(t, []attempt{
		{"an editor makes one for a webhook", editor, creates(newSecret("new", corev1.SecretTypeOpaque, signing)), ""},
		{"an editor replaces a webhook's", editor, updates(replace(mine), func(s *corev1.Secret) { s.Data["secret"] = []byte("battery horse correct") }), ""},
		{"an owner labels one", owner, patches(plain, `{"metadata":{"labels":{"bbmcp.quietstack.com/signing-secret":"true"}}}`), ""},
		{"from Git, by server-side apply", gitops, applies(newSecret("from-git", corev1.SecretTypeOpaque, signing)), ""},
		{"an owner makes a key", owner, creates(newSecret("bbmcp-key-new", token, forAccount)), ""},
		{"an owner changes a key", owner, patches(held, note), ""},
		{"Secrets of others are of any type", owner, creates(newSecret("tls", corev1.SecretTypeTLS)), ""},
		{"also where no webhook is", gitops, creates(newSecret("token", token, forAccount)), ""},

		{"an editor makes a key", editor, creates(newSecret("bbmcp-key-new", token, forAccount)), key},
		{"an editor replaces a key", editor, updates(replace(held), func(s *corev1.Secret) { s.Data = nil }), key},
		{"a token signs", owner, creates(newSecret("token", token, signing, forAccount)), "must be of type Opaque"},
		{"a certificate is labelled", owner, patches(odd, `{"metadata":{"labels":{"bbmcp.quietstack.com/endpoint-credentials":"true"}}}`), "must be of type Opaque"},
	})
}

// unreadable tries every way to read a Secret with the role bbmcp-editor alone,
// whose right to write Secrets must not be one.
func (c *cluster) unreadable(t *testing.T) {
	ctx, as := t.Context(), c.as(t, editor)
	minted := newSecret("minted", corev1.SecretTypeServiceAccountToken, forAccount)
	minted.Data = nil
	if err := as.Create(ctx, minted); err != nil {
		t.Fatalf("the role cannot make Secrets: %v", err)
	}
	filled := &corev1.Secret{}
	c.eventually(t, func() bool {
		return c.admin.Get(ctx, client.ObjectKeyFromObject(minted), filled) == nil && len(filled.Data[corev1.ServiceAccountTokenKey]) > 0
	})
	replaced := newSecret("minted", corev1.SecretTypeServiceAccountToken, forAccount)
	replaced.Data = nil
	for name, read := range map[string]func(client.Client) (client.Object, error){
		"get": func(c client.Client) (client.Object, error) {
			s := &corev1.Secret{}
			return s, c.Get(ctx, client.ObjectKeyFromObject(minted), s)
		},
		"patch": func(c client.Client) (client.Object, error) {
			s := minted.DeepCopy()
			return s, patches(s, `{}`)(ctx, c)
		},
		"apply": func(c client.Client) (client.Object, error) { s := typed(replaced); return s, applies(s)(ctx, c) },
		"update": func(c client.Client) (client.Object, error) {
			s := replaced.DeepCopy()
			return s, c.Update(ctx, s, client.DryRunAll)
		},
		"update as it was created": func(c client.Client) (client.Object, error) { s := minted.DeepCopy(); return s, c.Update(ctx, s) },
		"delete": func(c client.Client) (client.Object, error) {
			s := minted.DeepCopy()
			return s, c.Delete(ctx, s, client.DryRunAll)
		},
	} {
		object, err := read(as)
		if secret := object.(*corev1.Secret); len(secret.Data[corev1.ServiceAccountTokenKey]) > 0 {
			t.Errorf("%s shows the token", name)
		}
		if err == nil && name != "update" {
			t.Errorf("%s is allowed", name)
		}
	}
}

func (c *cluster) ownSecrets(t *testing.T) {
	const refused = "bbmcp-webhooks writes only Secrets of type Opaque"
	owned := newSecret("invoices-signing", corev1.SecretTypeOpaque, signing)
	owned.OwnerReferences = c.webhook(t, "invoices")
	orphan, foreign := newSecret("lost-signing", corev1.SecretTypeOpaque, signing), newSecret("database-signing", corev1.SecretTypeOpaque)
	node, other := newSecret("hooks-bbmcp-log-peers", corev1.SecretTypeOpaque, in(system)), newSecret("database", corev1.SecretTypeOpaque, in(system))
	for _, secret := range []*corev1.Secret{owned, orphan, foreign, node, other} {
		c.create(t, secret)
	}
	rotate := func(s *corev1.Secret) { s.Data["previous"] = s.Data["secret"] }
	adopt := func(s *corev1.Secret) { signing(s); ofWebhook("lost")(s) }
	c.try(t, []attempt{
		{"makes a webhook's", manager, creates(newSecret("new-signing", corev1.SecretTypeOpaque, signing, ofWebhook("new"))), ""},
		{"makes credentials for a webhook", manager, creates(newSecret("new-credentials", corev1.SecretTypeOpaque, signing, ofWebhook("new"))), ""},
		{"rotates a webhook's", manager, updates(owned, rotate), ""},
		{"adopts one that was restored", manager, updates(orphan, adopt), ""},
		{"changes those of the log", manager, updates(node, rotate), ""},

		{"mints a token", manager, creates(newSecret("new-signing", corev1.SecretTypeServiceAccountToken, signing, forAccount, ofWebhook("new"))), "of type Opaque"},
		{"mints a token without the label", manager, creates(newSecret("new-signing", corev1.SecretTypeServiceAccountToken, forAccount)), refused},
		{"makes one of another name", manager, creates(newSecret("other", corev1.SecretTypeOpaque, signing, ofWebhook("new"))), refused},
		{"makes one named after another webhook", manager, creates(newSecret("old-signing", corev1.SecretTypeOpaque, signing, ofWebhook("new"))), refused},
		{"makes one without an owner", manager, creates(newSecret("new-signing", corev1.SecretTypeOpaque, signing)), refused},
		{"makes one without the label", manager, creates(newSecret("new-signing", corev1.SecretTypeOpaque, ofWebhook("new"))), refused},
		{"takes one that nobody has labelled", manager, updates(foreign, func(s *corev1.Secret) { signing(s); ofWebhook("database")(s) }), refused},
		{"makes one of the log", manager, creates(newSecret("hooks-bbmcp-log-new", corev1.SecretTypeOpaque, in(system))), refused},
		{"changes another of the release", manager, updates(other, rotate), refused},
	})
	for name, write := range map[string]attempt{
		"makes a webhook's":    {do: creates(newSecret("new-signing", corev1.SecretTypeOpaque, signing, ofWebhook("new")))},
		"deletes a webhook's":  {who: manager, do: deletes(owned)},
		"deletes the log's":    {who: manager, do: deletes(node)},
		"changes one by patch": {who: manager, do: patches(owned, note)},
	} {
		who := write.who
		if who == "" {
			who = gateway
		}
		if err := write.do(t.Context(), c.as(t, who)); err == nil {
			t.Errorf("%s %s, which RBAC does not give", who, name)
		}
	}
}

// urls that seem to hold a secret are warned of, and stored.
func (c *cluster) urls(t *testing.T) {
	const holdsSecret = "seems to hold a secret"
	for url, warned := range map[string]bool{
		"https://example.com/hook": false, "https://example.com/hook?keyboard=a": false,
		"https://example.com/hook?token=a": true, "https://example.com/hook?a=b&X-API-Key=c": true,
	} {
		told := &warnings{}
		config := rest.CopyConfig(c.config)
		config.Impersonate = rest.ImpersonationConfig{UserName: owner}
		config.WarningHandler = told
		as, err := client.New(config, client.Options{Scheme: c.scheme})
		if err != nil {
			t.Fatal(err)
		}
		webhook := newWebhook("url")
		webhook.Spec.URL = url
		if err := as.Create(t.Context(), webhook, client.DryRunAll); err != nil {
			t.Errorf("%s: %v", url, err)
		}
		if got := strings.Contains(strings.Join(*told, " "), holdsSecret); got != warned {
			t.Errorf("%s: %q", url, *told)
		}
		c.said[holdsSecret] = c.said[holdsSecret] || warned
	}
}

// warnings are those of the API server.
type warnings []string

// HandleWarningHeader implements rest.WarningHandler.
func (w *warnings) HandleWarningHeader(_ int, _, text string) { *w = append(*w, text) }

// controllers lets those of Kubernetes clean up behind what people delete.
func (c *cluster) controllers(t *testing.T) {
	webhook := newWebhook("parting")
	c.create(t, webhook)
	delivery := newDelivery("orphan", fromGateway, withUnrecorded)
	delivery.Spec.WebhookRef.Name = webhook.Name
	delivery.OwnerReferences = []metav1.OwnerReference{*metav1.NewControllerRef(webhook, v1alpha1.GroupVersion.WithKind("Webhook"))}
	c.create(t, delivery)
	if err := c.as(t, owner).Delete(t.Context(), webhook, client.PropagationPolicy(metav1.DeletePropagationOrphan)); err != nil {
		t.Fatal(err)
	}
	c.eventually(t, func() bool {
		err := c.admin.Get(t.Context(), client.ObjectKeyFromObject(delivery), delivery)
		return err == nil && len(delivery.OwnerReferences) == 0
	})
	minted := newSecret("bbmcp-key-minted", corev1.SecretTypeServiceAccountToken, forAccount)
	minted.Data = nil
	if err := c.as(t, owner).Create(t.Context(), minted); err != nil {
		t.Fatal(err)
	}
	c.eventually(t, func() bool {
		return c.admin.Get(t.Context(), client.ObjectKeyFromObject(minted), minted) == nil && len(minted.Data[corev1.ServiceAccountTokenKey]) > 0
	})
	if err := c.as(t, operator).Delete(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: team}}); err != nil {
		t.Fatal(err)
	}
	c.eventually(t, func() bool {
		return client.IgnoreNotFound(c.admin.Get(t.Context(), client.ObjectKey{Name: team}, &corev1.Namespace{})) == nil &&
			c.admin.Get(t.Context(), client.ObjectKeyFromObject(delivery), delivery) != nil
	})
}

// rules looks for a refusal with words of each validation that no other validation has: without the validation, or
// without the binding of its policy, nobody would say them, and the attempt would fail its test.
func (c *cluster) rules(t *testing.T) {
	var policies admissionv1.ValidatingAdmissionPolicyList
	if err := c.admin.List(t.Context(), &policies); err != nil {
		t.Fatal(err)
	}
	tested, says := map[string]bool{}, map[string][]string{} // by message; by words
	for _, policy := range policies.Items {
		for _, rule := range policy.Spec.Validations {
			tested[rule.Message] = false
			for words := range c.said {
				if strings.Contains(rule.Message, words) {
					says[words] = append(says[words], rule.Message)
				}
			}
		}
	}
	for _, messages := range says {
		if len(messages) == 1 {
			tested[messages[0]] = true
		}
	}
	if len(tested) < 12 {
		t.Errorf("only %d rules are installed", len(tested))
	}
	for message, ok := range tested {
		if !ok {
			t.Errorf("no attempt is refused only because %s", message)
		}
	}
}
