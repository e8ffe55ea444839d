// SPDX-License-Identifier: Apache-2.0

package policies

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// newDelivery is one as a person writes it.
func newDelivery(name string, changes ...func(*v1alpha1.WebhookDelivery)) *v1alpha1.WebhookDelivery {
	delivery := &v1alpha1.WebhookDelivery{
		ObjectMeta: metav1.ObjectMeta{Namespace: team, Name: name},
		Spec: v1alpha1.WebhookDeliverySpec{
			WebhookRef: v1alpha1.WebhookReference{Name: "orders"}, EventID: "evt_" + name, EventType: "context.created",
			Payload: `{"event":"context.created","timestamp":"2026-03-01T12:00:00Z","data":{}}`,
		},
	}
	for _, change := range changes {
		change(delivery)
	}
	return delivery
}

func withFirstAttempt(d *v1alpha1.WebhookDelivery) {
	d.Spec.FirstAttempt = &v1alpha1.Attempt{Number: 1, StartTime: metav1.NowMicro(), Reason: "Timeout"}
}

func withPublisher(d *v1alpha1.WebhookDelivery) { d.Spec.PublishedBy = "somebody" }

func fromGateway(d *v1alpha1.WebhookDelivery) {
	d.Labels = map[string]string{v1alpha1.OriginLabel: v1alpha1.OriginGateway}
}

func withUnrecorded(d *v1alpha1.WebhookDelivery) {
	d.Annotations = map[string]string{v1alpha1.UnrecordedAnnotation: "1000000"}
}

func labelled(d *v1alpha1.WebhookDelivery) { d.Labels = map[string]string{"team": "a"} }

func heldBack(by time.Duration) func(*v1alpha1.WebhookDelivery) {
	return func(d *v1alpha1.WebhookDelivery) {
		d.Spec.NotBefore = new(metav1.NewMicroTime(time.Now().Add(by).UTC().Truncate(time.Microsecond)))
	}
}

func ownedBy(kind, name string) func(*v1alpha1.WebhookDelivery) {
	return func(d *v1alpha1.WebhookDelivery) { d.OwnerReferences = []metav1.OwnerReference{ownerOf(kind, name)} }
}

func ownerOf(kind, name string) metav1.OwnerReference {
	version := v1alpha1.GroupVersion.String()
	if kind != "Webhook" {
		version = "v1"
	}
	return metav1.OwnerReference{APIVersion: version, Kind: kind, Name: name, UID: types.UID("0d1d7b5f-0000-4000-8000-000000000000")}
}

// Changes of a Secret.
func signing(s *corev1.Secret) { s.Labels = map[string]string{v1alpha1.SigningSecretLabel: "true"} }

func ofWebhook(name string) func(*corev1.Secret) {
	return func(s *corev1.Secret) { s.OwnerReferences = []metav1.OwnerReference{ownerOf("Webhook", name)} }
}

// forAccount asks for a token of a ServiceAccount.
func forAccount(s *corev1.Secret) {
	s.Annotations = map[string]string{corev1.ServiceAccountNameKey: "default"}
}

func in(namespace string) func(*corev1.Secret) {
	return func(s *corev1.Secret) { s.Namespace = namespace }
}

func newSecret(name string, kind corev1.SecretType, changes ...func(*corev1.Secret)) *corev1.Secret {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: team, Name: name}, Type: kind, Data: map[string][]byte{"secret": []byte("correct horse battery")}}
	if kind == corev1.SecretTypeTLS {
		secret.Data = map[string][]byte{corev1.TLSCertKey: nil, corev1.TLSPrivateKeyKey: nil}
	}
	for _, change := range changes {
		change(secret)
	}
	return secret
}

// creates a copy of an object, without storing it.
func creates(object client.Object) func(context.Context, client.Client) error {
	return func(ctx context.Context, as client.Client) error {
		return as.Create(ctx, object.DeepCopyObject().(client.Object), client.DryRunAll)
	}
}

// patches an object, without storing it.
func patches(object client.Object, change string) func(context.Context, client.Client) error {
	return func(ctx context.Context, as client.Client) error {
		patch := client.RawPatch(types.MergePatchType, []byte(change))
		return as.Patch(ctx, object.DeepCopyObject().(client.Object), patch, client.DryRunAll)
	}
}

// applies an object on the server's side, by force, as Flux and Argo CD do. It
// must not have been stored before.
func applies(object client.Object) func(context.Context, client.Client) error {
	return func(ctx context.Context, as client.Client) error {
		return as.Patch(ctx, typed(object), client.Apply, //nolint:staticcheck // typed objects suffice here
			client.DryRunAll, client.FieldOwner("gitops"), client.ForceOwnership)
	}
}

// typed is an object with its kind, which server-side apply needs.
func typed(object client.Object) client.Object {
	object = object.DeepCopyObject().(client.Object)
	kind := v1alpha1.GroupVersion.WithKind("WebhookDelivery")
	if _, isSecret := object.(*corev1.Secret); isSecret {
		kind = corev1.SchemeGroupVersion.WithKind("Secret")
	}
	object.GetObjectKind().SetGroupVersionKind(kind)
	return object
}

// updates an object as it was read, after a change.
func updates[T client.Object](object T, change func(T)) func(context.Context, client.Client) error {
	return func(ctx context.Context, as client.Client) error {
		changed := object.DeepCopyObject().(T)
		change(changed)
		return as.Update(ctx, changed, client.DryRunAll)
	}
}

// writesStatus changes nothing, which counts as a write all the same.
func writesStatus(object client.Object) func(context.Context, client.Client) error {
	return func(ctx context.Context, as client.Client) error {
		return as.Status().Update(ctx, object.DeepCopyObject().(client.Object), client.DryRunAll)
	}
}

func deletes(object client.Object) func(context.Context, client.Client) error {
	return func(ctx context.Context, as client.Client) error {
		return as.Delete(ctx, object.DeepCopyObject().(client.Object), client.DryRunAll)
	}
}

func newWebhook(name string) *v1alpha1.Webhook {
	return &v1alpha1.Webhook{
		ObjectMeta: metav1.ObjectMeta{Namespace: team, Name: name},
		Spec:       v1alpha1.WebhookSpec{URL: "https://example.com/hook", Events: []string{"*"}},
	}
}

func newEventType(name string) *v1alpha1.EventType {
	return &v1alpha1.EventType{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.EventTypeSpec{Description: "of a test"}}
}
