// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/suite"
)

// tenant is one spec's part of the cluster: a namespace and the endpoint of its
// webhooks.
type tenant struct {
	namespace string
	endpoint  *receiver.Receiver
	serial    atomic.Int64

	mu      sync.Mutex
	created map[string]time.Time // by event id: when the API server said so
}

// newTenant makes a namespace and a receiver.
func newTenant(ctx context.Context, options receiver.Options) *tenant {
	GinkgoHelper()
	namespace := cluster.NewNamespace(ctx, "process-")
	endpoint, err := receiver.Start(options)
	Expect(err).NotTo(HaveOccurred())
	DeferCleanup(endpoint.Close)
	DeferCleanup(func(ctx SpecContext) { abandon(ctx, namespace) })
	return &tenant{namespace: namespace, endpoint: endpoint, created: map[string]time.Time{}}
}

// abandon deletes what would be retried while other specs count what is written.
func abandon(ctx context.Context, namespace string) {
	GinkgoHelper()
	unfinished := client.MatchingFieldsSelector{Selector: fields.AndSelectors(
		fields.OneTermNotEqualSelector(v1alpha1.FieldState, string(v1alpha1.DeliverySucceeded)),
		fields.OneTermNotEqualSelector(v1alpha1.FieldState, string(v1alpha1.DeliveryFailed)),
	)}
	Expect(cluster.Client.DeleteAllOf(ctx, &v1alpha1.WebhookDelivery{}, client.InNamespace(namespace), unfinished)).To(Succeed())
}

// declare makes a Webhook for a path of the endpoint; path and name are the
// same word.
func (t *tenant) declare(ctx context.Context, name string, edit ...func(*v1alpha1.WebhookSpec)) *v1alpha1.Webhook {
	GinkgoHelper()
	webhook := &v1alpha1.Webhook{
		ObjectMeta: metav1.ObjectMeta{Namespace: t.namespace, Name: name},
		Spec:       v1alpha1.WebhookSpec{URL: t.endpoint.URL("/" + name), Events: []string{"*"}},
	}
	for _, change := range edit {
		change(&webhook.Spec)
	}
	Expect(cluster.Client.Create(ctx, webhook)).To(Succeed())
	return webhook
}

// ready waits until webhooks are Ready and gives their secrets to the endpoint.
func (t *tenant) ready(ctx context.Context, webhooks ...*v1alpha1.Webhook) {
	GinkgoHelper()
	for _, webhook := range webhooks {
		Eventually(ctx, func(g Gomega) {
			g.Expect(cluster.Client.Get(ctx, client.ObjectKeyFromObject(webhook), webhook)).To(Succeed())
			g.Expect(meta.IsStatusConditionTrue(webhook.Status.Conditions, v1alpha1.ConditionReady)).To(BeTrue())
		}).Should(Succeed())
		t.share(ctx, webhook)
	}
}

// share gives a webhook's secrets to the endpoint and returns them.
func (t *tenant) share(ctx context.Context, webhook *v1alpha1.Webhook) []string {
	GinkgoHelper()
	var secret corev1.Secret
	key := types.NamespacedName{Namespace: webhook.Namespace, Name: webhook.Name + "-signing"}
	Expect(cluster.Client.Get(ctx, key, &secret)).To(Succeed())
	var texts []string
	for _, value := range secret.Data {
		texts = append(texts, string(value))
	}
	Expect(t.endpoint.Secrets("/"+webhook.Name, texts...)).To(Succeed())
	return texts
}

// delivery is one as the gateway makes it.
func (t *tenant) delivery(webhook *v1alpha1.Webhook, padding int) *v1alpha1.WebhookDelivery {
	number := t.serial.Add(1)
	eventID := fmt.Sprintf("evt_%s_%d", t.namespace, number)
	delivery := &v1alpha1.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: t.namespace,
			Name:      identity.DeliveryName(eventID, string(webhook.UID)),
			Labels:    map[string]string{v1alpha1.OriginLabel: v1alpha1.OriginGateway, v1alpha1.WebhookLabel: webhook.Name},
			OwnerReferences: []metav1.OwnerReference{
				*metav1.NewControllerRef(webhook, v1alpha1.GroupVersion.WithKind("Webhook")),
			},
		},
		Spec: v1alpha1.WebhookDeliverySpec{
			WebhookRef: v1alpha1.WebhookReference{Name: webhook.Name}, EventID: eventID, EventType: "context.created",
			Payload: fmt.Sprintf(`{"event":"context.created","timestamp":"2024-01-15T10:30:00Z","data":{"number":%d,"text":"%s"}}`,
				number, strings.Repeat("x", padding)),
			AcceptedTime: new(metav1.NewMicroTime(time.Now().UTC().Truncate(time.Microsecond))),
		},
	}
	delivery.OwnerReferences[0].BlockOwnerDeletion = nil
	return delivery
}

// byHand takes from a delivery what only the gateway puts there.
func byHand(delivery *v1alpha1.WebhookDelivery) {
	delivery.Labels, delivery.OwnerReferences = nil, nil
	delivery.Name = "by-hand-" + strings.ToLower(delivery.Name[len(delivery.Name)-12:])
}

// publish makes n deliveries, in turn for each webhook, as a gateway does that
// repeats what the API server did not acknowledge.
func (t *tenant) publish(ctx context.Context, n int, webhooks ...*v1alpha1.Webhook) {
	GinkgoHelper()
	t.publishEdited(ctx, n, 0, func(*v1alpha1.WebhookDelivery) {}, webhooks...)
}

func (t *tenant) publishEdited(ctx context.Context, n, padding int, edit func(*v1alpha1.WebhookDelivery), webhooks ...*v1alpha1.Webhook) {
	GinkgoHelper()
	var publishers errgroup.Group
	publishers.SetLimit(8)
	for i := range n {
		delivery := t.delivery(webhooks[i%len(webhooks)], padding)
		edit(delivery)
		publishers.Go(func() error { return t.create(ctx, delivery) })
	}
	Expect(publishers.Wait()).To(Succeed())
}

func (t *tenant) create(ctx context.Context, delivery *v1alpha1.WebhookDelivery) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		once, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := cluster.Client.Create(once, delivery.DeepCopy())
		cancel()
		if err == nil || apierrors.IsAlreadyExists(err) {
			t.mu.Lock()
			t.created[delivery.Spec.EventID] = time.Now()
			t.mu.Unlock()
			return nil
		}
		if apierrors.IsInvalid(err) || apierrors.IsForbidden(err) {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

// list returns the namespace's deliveries that match a field selector.
func (t *tenant) list(ctx context.Context, selector string) ([]v1alpha1.WebhookDelivery, error) {
	var list v1alpha1.WebhookDeliveryList
	parsed, err := fields.ParseSelector(selector)
	if err != nil {
		return nil, err
	}
	err = cluster.Client.List(ctx, &list, client.InNamespace(t.namespace), client.MatchingFieldsSelector{Selector: parsed})
	return list.Items, err
}

// waitSucceeded waits until every delivery of the namespace is Succeeded.
func (t *tenant) waitSucceeded(ctx context.Context, timeout time.Duration) {
	GinkgoHelper()
	t.waitNone(ctx, "status.state!=Succeeded", timeout)
}

// waitNone waits until no delivery matches.
func (t *tenant) waitNone(ctx context.Context, selector string, timeout time.Duration) {
	GinkgoHelper()
	Eventually(ctx, func() (map[string]int, error) {
		list, err := t.list(ctx, selector)
		left := map[string]int{}
		for i := range list {
			left[fmt.Sprintf("%s of %s after %d attempts", list[i].Status.State, list[i].Spec.WebhookRef.Name, list[i].Status.Attempts)]++
		}
		return left, err
	}).WithTimeout(timeout).WithPolling(4*suite.PollEvery).Should(BeEmpty(), selector)
}

// expectVerified says that every post was signed rightly, twice.
func (t *tenant) expectVerified() {
	GinkgoHelper()
	counts := t.endpoint.Counts("")
	Expect(counts.Verified).To(Equal(counts.Posts), "posts with both signatures right")
}
