// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

var _ = Describe("secrets", func() {
	It("are in no log, event, status or metric", SpecTimeout(3*time.Minute), func(ctx SpecContext) {
		const own, short = "brought by a user: p4ssw0rd", "tiny p4ss"
		t := newTenant(ctx, receiver.Options{})
		options := supervised("--log-level=debug")
		options.DispatcherArgs = []string{"--log-level=debug"}
		manager := startLeader(ctx, options)
		secrets := []string{own, short}
		secrets = append(secrets, liveThrough(ctx, t, manager, own, short)...)

		said := everythingSaid(ctx, t, manager)
		Expect(said["logs"]).To(ContainSubstring("evt_"+t.namespace+"_1"), "the search looks at this very run")
		Expect(t.endpoint.Counts("/echo").Posts).To(BeNumerically(">", 0), "an endpoint did answer with our headers")
		Expect(said["webhookdeliveries"]).NotTo(ContainSubstring("X-Bbmcp"), "answers of allow-listed addresses are not shown")
		Expect(said["events"]).To(ContainSubstring("SecretRotated"))
		for where, text := range said {
			Expect(found(text, secrets)).To(BeEmpty(), where)
			if where == "webhookdeliveries" || where == "logs" {
				Expect(found(text, signatures(t))).To(BeEmpty(), "signatures in "+where)
			}
		}
		var kept corev1.SecretList
		Expect(cluster.Client.List(ctx, &kept, client.InNamespace(t.namespace))).To(Succeed())
		Expect(found(asJSON(kept.Items), secrets)).NotTo(BeEmpty(), "the search finds what is there")
		measured("%d secrets in %d places, %d KiB: none found", len(secrets), len(said), sizeOf(said)>>10)
	})
})

// liveThrough does to webhooks what may make a process talk about secrets:
// failures, echoes, a rotation, a Secret that is refused, a sidecar that dies.
// It returns the secrets that were made meanwhile.
func liveThrough(ctx context.Context, t *tenant, manager *stack.Manager, own, short string) []string {
	GinkgoHelper()
	quickly := func(spec *v1alpha1.WebhookSpec) {
		spec.RetryPolicy = &v1alpha1.RetryPolicy{Delays: &[]metav1.Duration{{Duration: time.Second}}}
	}
	keptIn := func(name string) func(*v1alpha1.WebhookSpec) {
		return func(spec *v1alpha1.WebhookSpec) {
			quickly(spec)
			spec.Signing = &v1alpha1.Signing{SecretRef: &v1alpha1.SecretKeyReference{Name: name, Key: "secret"}}
		}
	}
	for name, value := range map[string]string{"user-signing": own, "refused-signing": short} {
		Expect(cluster.Client.Create(ctx, &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Namespace: t.namespace, Name: name, Labels: map[string]string{v1alpha1.SigningSecretLabel: "true"}},
			Data:       map[string][]byte{"secret": []byte(value)},
		})).To(Succeed())
	}
	t.endpoint.Script("/flaky", receiver.Step{Status: 500}, receiver.Step{Fault: receiver.ResetInHeaders}, receiver.Step{Fault: receiver.NotHTTP}, receiver.Step{Times: 1 << 30})
	t.endpoint.Script("/echo", receiver.Step{Status: 500, Fault: receiver.Echo})
	t.endpoint.Script("/doubts", receiver.Step{Status: 401, Fault: receiver.Echo})
	hooks := []*v1alpha1.Webhook{t.declare(ctx, "rotated", quickly), t.declare(ctx, "flaky", quickly), t.declare(ctx, "echo", quickly),
		t.declare(ctx, "doubts", quickly), t.declare(ctx, "user", keptIn("user-signing"))}
	refused := t.declare(ctx, "refused", keptIn("refused-signing"))
	t.ready(ctx, hooks...)
	t.publish(ctx, 40, hooks...)
	t.publish(ctx, 1, refused)
	for _, hook := range hooks[:4] {
		patch := fmt.Appendf(nil, `{"metadata":{"annotations":{"%s":"now"}}}`, v1alpha1.RotateRequestedAtAnnotation)
		Expect(cluster.Client.Patch(ctx, hook.DeepCopy(), client.RawPatch(types.MergePatchType, patch))).To(Succeed())
	}
	var made []string
	for _, hook := range hooks[:4] {
		var both []string
		Eventually(ctx, func() []string { both = t.share(ctx, hook); return both }).Should(HaveLen(2), "both secrets of a rotation")
		made = append(made, both...)
	}
	t.publish(ctx, 20, hooks...)
	manager.Dispatcher().Stop(0)
	t.publish(ctx, 20, hooks...)
	t.waitNone(ctx, "spec.webhookRef.name!=refused,status.state!=Succeeded,status.state!=Failed", time.Minute)
	return made
}

// everythingSaid is all that the product has told anybody but its endpoints.
func everythingSaid(ctx context.Context, t *tenant, manager *stack.Manager) map[string]string {
	GinkgoHelper()
	said := map[string]string{}
	logs, err := cluster.Logs()
	Expect(err).NotTo(HaveOccurred())
	for _, log := range logs {
		text, err := os.ReadFile(log)
		Expect(err).NotTo(HaveOccurred())
		said["logs"] += string(text)
	}
	for where, url := range map[string]string{"metrics of the manager": manager.MetricsURL, "metrics of the dispatcher": manager.DispatcherMetricsURL} {
		text, err := stack.ScrapeText(ctx, http.DefaultClient, url)
		Expect(err).NotTo(HaveOccurred())
		said[where] = text
	}
	var events eventsv1.EventList
	var webhooks v1alpha1.WebhookList
	var deliveries v1alpha1.WebhookDeliveryList
	in := client.InNamespace(t.namespace)
	Eventually(ctx, func(g Gomega) { // they are sent in the background
		g.Expect(cluster.Client.List(ctx, &events, in)).To(Succeed())
		g.Expect(asJSON(events.Items)).To(ContainSubstring("SecretRotated"))
	}).Should(Succeed())
	Expect(cluster.Client.List(ctx, &webhooks, in)).To(Succeed())
	Expect(cluster.Client.List(ctx, &deliveries, in)).To(Succeed())
	said["events"], said["webhooks"], said["webhookdeliveries"] = asJSON(events.Items), asJSON(webhooks.Items), asJSON(deliveries.Items)
	return said
}

func asJSON(value any) string {
	GinkgoHelper()
	text, err := json.Marshal(value)
	Expect(err).NotTo(HaveOccurred())
	return string(text)
}

// found lists the secrets that a text holds, in any spelling that a program
// may print.
func found(text string, secrets []string) []string {
	var hits []string
	for _, secret := range secrets {
		for how, spelling := range spellings(secret) {
			if strings.Contains(text, spelling) {
				hits = append(hits, how+" of "+secret)
			}
		}
	}
	return hits
}

func spellings(secret string) map[string]string {
	all := map[string]string{
		"text": secret, "hex": hex.EncodeToString([]byte(secret)), "HEX": strings.ToUpper(hex.EncodeToString([]byte(secret))),
		"base64": base64.StdEncoding.EncodeToString([]byte(secret)), "base64url": base64.RawURLEncoding.EncodeToString([]byte(secret)),
		"Go bytes": strings.Trim(fmt.Sprint([]byte(secret)), "[]"),
	}
	encoded, ok := strings.CutPrefix(secret, "whsec_")
	if !ok {
		return all
	}
	all["text without prefix"] = strings.TrimRight(encoded, "=")
	if key, err := base64.StdEncoding.DecodeString(encoded); err == nil {
		all["key"], all["key in hex"] = string(key), hex.EncodeToString(key)
		all["key in base64url"] = base64.RawURLEncoding.EncodeToString(key)
		all["key as Go bytes"] = strings.Trim(fmt.Sprint(key), "[]")
	}
	return all
}

// signatures are those that the endpoint got: whoever reads a status must not
// be able to replay a delivery.
func signatures(t *tenant) []string {
	var all []string
	for _, one := range t.endpoint.Received("") {
		for _, name := range []string{"X-BBMCP-Signature", "X-BBMCP-Signature-Next"} {
			if value := one.Header.Get(name); value != "" {
				all = append(all, value)
			}
		}
		for signature := range strings.FieldsSeq(one.Header.Get("webhook-signature")) {
			all = append(all, strings.TrimPrefix(signature, "v1,"))
		}
	}
	return all
}

func sizeOf(said map[string]string) int {
	sum := 0
	for _, text := range said {
		sum += len(text)
	}
	return sum
}
