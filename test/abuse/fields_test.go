// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/identity"
)

const (
	// fieldRate is how many writes a second the attacker makes, fieldWidth how many
	// are under way; with each so many of them comes a request to the gateway.
	fieldRate, fieldWidth, callEach = 36, 4, 4
	// allWritten is the ConfigMap that says that all fields were written.
	allWritten = "all-written"
	// statusRole is what an owner of a namespace could have been given beside
	// bbmcp-admin and edit.
	statusRole = "abuse-status"
)

// fieldAttacks write everything that can be written.
func fieldAttacks() []attack {
	watch := &neighbourWatch{}
	return []attack{{
		name:    "every field with the neighbour's names and far-off times",
		arrange: watch.arrange, act: writeFields, meanwhile: watch.follow, finished: fieldsWritten, after: watch.after,
	}}
}

// neighbourWatch holds what the neighbour has, of which nothing may change.
type neighbourWatch struct {
	victim     fieldVictim
	webhook    v1alpha1.Webhook
	secret     corev1.Secret
	deliveries map[types.UID]v1alpha1.WebhookDelivery
	viewer     string // a token

	stop    func()
	watched sync.WaitGroup
	changes []string
}

// arrange remembers what the neighbour has, tells the attacker of it, and gives the
// attacker all rights in its own namespace.
func (w *neighbourWatch) arrange(s *scene) {
	w.webhook, w.secret, w.changes = v1alpha1.Webhook{}, corev1.Secret{}, nil // of the round before
	key := types.NamespacedName{Namespace: neighbourSpace, Name: "healthy"}
	s.try(s.poll(s.ctx, "the neighbour's endpoint to be known", func() (bool, error) {
		err := s.stack.Client.Get(s.ctx, key, &w.webhook)
		return meta.IsStatusConditionTrue(w.webhook.Status.Conditions, v1alpha1.ConditionEndpointHealthy), err
	}))
	s.try(s.stack.Client.Get(s.ctx, types.NamespacedName{Namespace: neighbourSpace, Name: w.webhook.Status.Signing.SecretName}, &w.secret))
	if w.deliveries = w.list(s); len(w.deliveries) == 0 {
		s.Fatal("the neighbour has no delivery whose names could be used")
	}
	for _, one := range w.deliveries {
		w.victim = fieldVictim{
			Namespace: neighbourSpace, Webhook: w.webhook.Name, UID: string(w.webhook.UID), WebhookID: w.webhook.Status.WebhookID, Secret: w.secret.Name,
			URL: w.webhook.Spec.URL, Host: strings.TrimPrefix(s.neighbour.endpoint.URL(""), "http://"), Publisher: "system:serviceaccount:" + neighbourSpace + ":publisher",
			Delivery: one.Name, DeliveryID: identity.DeliveryID(one.Name, string(one.UID)), DeliveryUID: string(one.UID), Event: one.Spec.EventID, Payload: one.Spec.Payload,
			Next: s.neighbour.published + 1,
		}
	}
	text, err := json.Marshal(w.victim)
	s.try(err)
	s.given["victim"], s.given["endpoint"] = string(text), s.endpoint(1).URL("/")
	s.try(s.declare(s.ctx, newProductWebhook(s.namespace, w.webhook.Name, s.given["endpoint"])))
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: statusRole}, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{v1alpha1.GroupVersion.Group}, Resources: []string{"webhooks/status", "webhookdeliveries/status"}, Verbs: []string{"*"},
	}}}
	s.try(s.stack.Client.Create(s.ctx, role))
	s.Cleanup(func() {
		if err := s.stack.Client.Delete(s.background(), role); err != nil {
			s.Error(err)
		}
		s.dropWebhooks()
	})
	s.token("admin", "bbmcp-admin", "bbmcp-publisher", "edit", statusRole)
	w.viewer, err = s.stack.Token(s.ctx, neighbourSpace, "viewer", []string{"bbmcp-viewer", "bbmcp-delivery-viewer"})
	s.try(err)
}

// list reads the neighbour's deliveries.
func (w *neighbourWatch) list(s *scene) map[types.UID]v1alpha1.WebhookDelivery {
	s.Helper()
	var list v1alpha1.WebhookDeliveryList
	s.try(s.stack.Client.List(s.ctx, &list, client.InNamespace(neighbourSpace)))
	all := map[types.UID]v1alpha1.WebhookDelivery{}
	for i := range list.Items {
		all[list.Items[i].UID] = list.Items[i]
	}
	return all
}

// writeFields writes every field, asks the gateway for what is the neighbour's, and
// says when it is done.
func writeFields(a *attacker) {
	writer := &fieldWriter{namespace: a.Namespace, endpoint: a.Given["endpoint"], root: sourceTree()}
	if err := json.Unmarshal([]byte(a.Given["victim"]), &writer.victim); err != nil {
		a.note(err.Error(), "", 0)
		return
	}
	writes, err := writer.writes()
	if err != nil {
		a.note(err.Error(), "", 0)
		return
	}
	var done atomic.Int64
	a.pace(fieldRate, fieldWidth, func(i int) {
		if i < len(writes) {
			a.sendFieldWrite(writes[i])
			if i%callEach == 0 {
				calls := callsAbout(&writer.victim, neighbourEventID(writer.victim.Next+aheadOf+i), a.Tokens["admin"])
				a.do(calls[i/callEach%len(calls)])
			}
			if int(done.Add(1)) == len(writes) {
				a.apiPath(http.MethodPost, writer.path("configmaps"), jsonType, fmt.Appendf(nil, `{"metadata":{"name":%q},"data":{"writes":"%d"}}`, allWritten, len(writes)))
			}
		}
	})
}

// callsAbout are requests to the gateway that name what is the neighbour's; id is that
// of an event which it has yet to publish.
func callsAbout(v *fieldVictim, id, token string) []call {
	event := fmt.Appendf(nil, `{"event":"context.created","id":%q,"timestamp":"9999-12-31T23:59:59Z","data":%s}`, id, createdData)
	other := fmt.Appendf(nil, `{"event":"context.created","id":%q,"data":%s}`, id, strings.Replace(createdData, "ctx_1", "ctx_2", 1))
	hook, delivery := "/v1/webhooks/"+v.WebhookID, "/v1/deliveries/"+v.DeliveryID
	var all []call
	for _, at := range []string{"", "?namespace=" + v.Namespace} {
		for _, path := range []string{hook + "/suspend", hook + "/enable", hook + "/rotate-secret", hook + "/resume", delivery + "/retry"} {
			all = append(all, call{path: path + at, token: token})
		}
		all = append(all,
			call{path: "/v1/events" + at, token: token, body: other},
			call{path: "/v1/events" + at, token: token, body: event, header: map[string]string{"Prefer": "respond-async", "Idempotency-Key": id}},
			call{path: hook + "/test" + at, token: token, body: []byte(`{"event":"context.created"}`)},
			call{method: http.MethodPut, path: hook + at, token: token, body: []byte(`{"url":"http://127.1.0.1:9/"}`)},
			call{method: http.MethodDelete, path: hook + at, token: token},
		)
	}
	return all
}

// sourceTree is where CRDs and source of the product are.
func sourceTree() string { return cmp.Or(os.Getenv(treeVariable), "../..") }

// fieldsWritten reports whether the attacker is done.
func fieldsWritten(s *scene) bool {
	return s.stack.Client.Get(s.ctx, types.NamespacedName{Namespace: s.namespace, Name: allWritten}, &corev1.ConfigMap{}) == nil
}

// stands is what of a webhook does not change while all goes well.
func stands(w *v1alpha1.Webhook) string {
	var said strings.Builder
	fmt.Fprintf(&said, "uid %s, generation %d, labels %v, annotations %v, owners %v, finalizers %v, being deleted: %t, state %s, id %s, endpoint %s, pause %v, signing %+v, failed %d, deleted early %d",
		w.UID, w.Generation, w.Labels, w.Annotations, w.OwnerReferences, w.Finalizers, w.DeletionTimestamp != nil, w.Status.State, w.Status.WebhookID, w.Status.EndpointRevision,
		w.Status.RetryAfterTime, *w.Status.Signing, w.Status.DeliveriesFailed, w.Status.DeliveriesDeletedEarly)
	for _, c := range w.Status.Conditions {
		fmt.Fprintf(&said, "; %s %s %s since %s", c.Type, c.Status, c.Reason, c.LastTransitionTime.UTC())
	}
	return said.String()
}

// follow watches the neighbour's webhook from what it was.
func (w *neighbourWatch) follow(s *scene) {
	var list v1alpha1.WebhookList
	list.ResourceVersion = w.webhook.ResourceVersion
	watch, err := s.stack.Client.Watch(s.ctx, &list, client.InNamespace(neighbourSpace), &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: w.webhook.ResourceVersion}})
	s.try(err)
	var over atomic.Bool
	w.stop = func() {
		over.Store(true)
		watch.Stop()
	}
	want := stands(&w.webhook)
	w.watched.Go(func() {
		for event := range watch.ResultChan() {
			now, ok := event.Object.(*v1alpha1.Webhook)
			switch {
			case !ok && over.Load(): // stopping a watch is an error to it
			case !ok || now.Status.Signing == nil || stands(now) != want:
				w.changes = append(w.changes, fmt.Sprintf("%s: %+v", event.Type, event.Object))
			}
		}
		if !over.Load() {
			w.changes = append(w.changes, "something that was not watched to the end")
		}
	})
}

// after says that the attacker has proved something, and that the neighbour has what
// it had.
func (w *neighbourWatch) after(s *scene, found attackReport) {
	w.stop()
	w.watched.Wait()
	for _, change := range w.changes {
		s.Errorf("the neighbour's webhook was as\n%s\nand has become\n%s", stands(&w.webhook), change)
	}
	w.coverage(s, found)
	var secret corev1.Secret
	s.try(s.stack.Client.Get(s.ctx, client.ObjectKeyFromObject(&w.secret), &secret))
	if !reflect.DeepEqual(secret, w.secret) {
		s.Errorf("the neighbour's Secret %s has changed", secret.Name)
	}
	w.compareDeliveries(s)
	w.rest(s)
}

// coverage says that each field took a value at least: what is refused proves nothing.
func (w *neighbourWatch) coverage(s *scene, found attackReport) {
	writer := &fieldWriter{victim: w.victim, namespace: s.namespace, endpoint: s.given["endpoint"], root: sourceTree()}
	writes, err := writer.writes()
	s.try(err)
	if !fieldsWritten(s) {
		s.Errorf("%d writes were not made within %s", len(writes), mostWhole)
	}
	taken, fields := 0, map[string]bool{}
	for _, one := range writes {
		fields[one.field] = true
	}
	for field := range fields {
		taken += found.Taken[field]
		if found.Taken[field] == 0 && !slices.Contains(neverTaken(), field[strings.Index(field, " ")+1:]) {
			s.Errorf("no value of %s was taken, which proves nothing", field)
		}
	}
	s.figure("%d fields, %d values, %d of them taken", len(fields), len(writes), taken)
}

// neverTaken are members that the API server takes from nobody but itself.
func neverTaken() []string { return []string{"metadata.namespace", "metadata.resourceVersion"} }

// compareDeliveries says that what was finished is as it was, and that all that came
// since has succeeded at once. What retention has taken away is more than it keeps.
func (w *neighbourWatch) compareDeliveries(s *scene) {
	now := w.list(s)
	const kept = 900 // of 1000
	for uid, before := range w.deliveries {
		after, ok := now[uid]
		if !ok && len(now) < kept {
			s.Errorf("the neighbour's delivery %s is gone, of %d", before.Name, len(now))
		}
		if ok && before.Status.State == v1alpha1.DeliverySucceeded && !reflect.DeepEqual(before, after) {
			s.Errorf("the neighbour's delivery was\n%+v\nand has become\n%+v", before, after)
		}
	}
	for _, one := range now {
		if one.Status.State == v1alpha1.DeliveryFailed || one.Status.Attempts > 1 {
			s.Errorf("a delivery of the neighbour's had to be repeated: %+v", one.Status)
		}
	}
}

// rest says that the gateway tells the neighbour nothing but good, and of nothing but
// its own.
func (w *neighbourWatch) rest(s *scene) {
	a := newAttacker(s.ctx, s.place())
	_, text := a.do(call{method: http.MethodGet, path: "/v1/webhooks/" + w.victim.WebhookID, token: w.viewer})
	var webhook rest.Webhook
	s.try(json.Unmarshal([]byte(text), &webhook))
	if healthy := webhook.EndpointHealth.Healthy; webhook.Status != "active" || webhook.Suspended || webhook.Problem != nil || healthy == nil || !*healthy {
		s.Errorf("the gateway tells the neighbour: %s", text)
	}
	err := s.poll(s.ctx, "the gateway to tell of the neighbour's deliveries", func() (bool, error) {
		_, text := a.do(call{method: http.MethodGet, path: "/v1/webhooks/" + w.victim.WebhookID + "/deliveries?limit=100", token: w.viewer})
		var list rest.DeliveryList
		if err := json.Unmarshal([]byte(text), &list); err != nil {
			return false, err
		}
		own := map[string]bool{}
		for _, one := range w.list(s) {
			own[identity.DeliveryID(one.Name, string(one.UID))] = true
		}
		for _, one := range list.Data {
			if !own[one.DeliveryID] || one.Status != "succeeded" { // the latest may be under way
				return false, fmt.Errorf("it tells of the delivery %+v", one)
			}
		}
		return len(list.Data) > 0, nil
	})
	if err != nil {
		s.Error(err)
	}
}
