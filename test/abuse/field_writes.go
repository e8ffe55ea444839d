// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/identity"
)

const (
	jsonType  = "application/json"
	applyType = "application/apply-patch+yaml"
	mergeType = "application/merge-patch+json"

	// aheadOf is how many events ahead of the neighbour the attacker uses its ids.
	aheadOf = 500
)

// fieldWrite writes one value into one field: requests to the API server, in order.
// The last one says whether the value was taken.
type fieldWrite struct {
	field string
	steps []apiRequest
}

type apiRequest struct {
	method, path, contentType string
	body                      map[string]any
}

// fieldWriter makes the writes of one attacker.
type fieldWriter struct {
	victim    fieldVictim
	namespace string // the attacker's
	endpoint  string // the attacker's
	root      string // of the source
	number    int
	made      []fieldWrite
}

// writes are all fields with all values: of the objects of ours, and the metadata of
// what else a tenant writes.
func (w *fieldWriter) writes() ([]fieldWrite, error) {
	for _, resource := range []string{"webhookdeliveries", "webhooks"} {
		fields, err := crdFields(w.root, resource)
		if err != nil {
			return nil, err
		}
		for _, f := range fields {
			for _, value := range w.victim.values(f) {
				w.field(resource, f, value)
			}
		}
	}
	metadata, err := w.victim.metadataValues(w.root)
	if err != nil {
		return nil, err
	}
	for _, resource := range []string{"webhookdeliveries", "webhooks", "secrets", "configmaps"} {
		for _, member := range slices.Sorted(maps.Keys(metadata)) {
			for _, value := range metadata[member] {
				w.metadata(resource, strings.Split(member, ".")[0], member, value)
			}
		}
	}
	w.secrets()
	return w.made, nil
}

// field writes into spec or status of our objects.
func (w *fieldWriter) field(resource string, f field, value any) {
	name := resource + " " + f.String()
	switch {
	case resource == "webhookdeliveries" && f.path[0] == "spec": // what cannot be changed is made anew
		w.add(name, w.create(resource, f.with(w.delivery(true), value)))
		w.add(name, w.create(resource, f.with(w.delivery(false), value)))
	case resource == "webhookdeliveries":
		object := w.delivery(true)
		create := w.create(resource, object)
		w.add(name, create, w.status(resource, create.body["metadata"].(map[string]any)["name"].(string), f, value))
	case f.path[0] == "spec":
		object := w.webhook()
		if slices.Contains(f.path, "secretRef") {
			object = setField(object, []string{"spec", "signing", "secretRef", "name"}, w.victim.Secret).(map[string]any)
		}
		w.add(name, w.apply(resource, f.with(object, value)))
	default:
		w.add(name, w.status(resource, w.victim.Webhook, f, value))
	}
}

// metadata writes a member of it: into a new object, and where the product has or
// reads one of a certain name, into that too.
func (w *fieldWriter) metadata(resource, member, what string, value any) {
	object := map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{}}
	switch resource {
	case "webhookdeliveries":
		object = w.delivery(true)
	case "webhooks":
		object = setField(w.webhook(), []string{"spec", "events"}, []any{"none.such"}).(map[string]any) // many would get every event
	case "secrets":
		object = w.secret()
	}
	name := resource + " metadata." + what
	made := w.create(resource, object)
	meta := maps.Clone(made.body["metadata"].(map[string]any))
	meta[member] = value
	if member == "generateName" {
		delete(meta, "name")
	}
	made.body["metadata"] = meta
	w.add(name, made)
	if changes := []string{"labels", "annotations", "ownerReferences"}; (resource == "webhooks" || resource == "secrets") && slices.Contains(changes, member) {
		w.add(name, w.apply(resource, setField(object, []string{"metadata", member}, value).(map[string]any)))
	}
}

// secrets writes what signs.
func (w *fieldWriter) secrets() {
	for _, key := range []string{"secret", "previous", "healthy"} {
		for _, value := range append(w.victim.texts(), "whsec_c29tZSBieXRlcyB0aGF0IGFyZSAyNCBsb25n", strings.Repeat("a", 256), strings.Repeat("a", 100<<10)) {
			w.add("secrets stringData."+key, w.apply("secrets", setField(w.secret(), []string{"stringData", key}, value).(map[string]any)))
		}
	}
	for _, value := range []any{"", "Opaque", "kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"} {
		w.add("secrets type", w.create("secrets", setField(w.secret(), []string{"type"}, value).(map[string]any)))
	}
	w.add("secrets immutable", w.create("secrets", setField(w.secret(), []string{"immutable"}, true).(map[string]any)))
}

// delivery is one of the attacker's, with the id and the name that the neighbour's will
// have which comes some seconds later. A posing one says of the neighbour's webhook all
// that it can.
func (w *fieldWriter) delivery(posing bool) map[string]any {
	v := w.victim
	w.number++
	event := neighbourEventID(v.Next + aheadOf + w.number)
	object := map[string]any{
		"apiVersion": apiVersion, "kind": "WebhookDelivery", "metadata": map[string]any{"name": identity.DeliveryName(event, v.UID)},
		"spec": map[string]any{"webhookRef": map[string]any{"name": v.Webhook}, "eventID": event, "eventType": "context.created", "payload": v.Payload},
	}
	if !posing {
		return object
	}
	object["metadata"] = map[string]any{
		"name":        identity.DeliveryName(event, v.UID),
		"labels":      map[string]any{group + "/origin": "gateway", group + "/webhook": v.Webhook},
		"annotations": map[string]any{group + "/unrecorded": "1000000"},
		"ownerReferences": []any{map[string]any{
			"apiVersion": apiVersion, "kind": "Webhook", "name": v.Webhook, "uid": v.UID, "controller": true,
		}},
	}
	spec := object["spec"].(map[string]any)
	spec["publishedBy"], spec["firstAttempt"] = v.Publisher, w.attempt()
	return object
}

// attempt timed out just now, as if the neighbour's endpoint hung.
func (w *fieldWriter) attempt() map[string]any {
	return map[string]any{"number": 1, "startTime": time.Now().UTC().Format(microLayout), "reason": "Timeout", "durationMilliseconds": 10_000}
}

// webhook is the attacker's, of the same name as the neighbour's.
func (w *fieldWriter) webhook() map[string]any {
	return map[string]any{
		"apiVersion": apiVersion, "kind": "Webhook", "metadata": map[string]any{},
		"spec": map[string]any{"url": w.endpoint, "events": []any{"*"}},
	}
}

// secret signs for it.
func (w *fieldWriter) secret() map[string]any {
	return map[string]any{
		"apiVersion": "v1", "kind": "Secret", "metadata": map[string]any{"labels": map[string]any{group + "/signing-secret": "true"}},
		"stringData": map[string]any{"secret": "0123456789abcdef0123456789abcdef"},
	}
}

// status writes a field of a status that says the worst besides.
func (w *fieldWriter) status(resource, name string, f field, value any) apiRequest {
	now := time.Now().UTC()
	condition := map[string]any{"type": "Succeeded", "status": "Unknown", "reason": "RetryScheduled", "message": "", "lastTransitionTime": now.Format(secondLayout)}
	status := map[string]any{"state": "Retrying", "attempts": 1, "attemptLog": []any{w.attempt()}, "conditions": []any{condition}}
	if resource == "webhooks" {
		condition = map[string]any{"type": "EndpointHealthy", "status": "False", "reason": "FailingTooLong", "message": "", "lastTransitionTime": now.Format(secondLayout)}
		status = map[string]any{
			"state": "Disabled", "webhookID": w.victim.WebhookID, "retryAfterTime": now.Add(time.Hour).Format(secondLayout), "conditions": []any{condition},
			"observedGeneration": 1,
		}
	}
	body := f.with(map[string]any{"status": status}, value)
	return apiRequest{http.MethodPatch, w.path(resource) + "/" + name + "/status", mergeType, body}
}

// create makes an object, under a new name if it has none.
func (w *fieldWriter) create(resource string, object map[string]any) apiRequest {
	if metadata := object["metadata"].(map[string]any); metadata["name"] == nil {
		w.number++
		object = setField(object, []string{"metadata", "name"}, fmt.Sprint("field-", w.number)).(map[string]any)
	}
	return apiRequest{http.MethodPost, w.path(resource), jsonType, object}
}

// apply makes or changes the object that has the name of the neighbour's.
func (w *fieldWriter) apply(resource string, object map[string]any) apiRequest {
	name := map[string]string{"webhooks": w.victim.Webhook, "secrets": w.victim.Secret}[resource]
	path := w.path(resource) + "/" + name + "?fieldManager=attacker&force=true"
	return apiRequest{http.MethodPatch, path, applyType, setField(object, []string{"metadata", "name"}, name).(map[string]any)}
}

func (w *fieldWriter) path(resource string) string {
	if resource == "secrets" || resource == "configmaps" {
		return "/api/v1/namespaces/" + w.namespace + "/" + resource
	}
	return "/apis/" + apiVersion + "/namespaces/" + w.namespace + "/" + resource
}

func (w *fieldWriter) add(field string, steps ...apiRequest) {
	w.made = append(w.made, fieldWrite{field: field, steps: steps})
}

// sendFieldWrite makes the requests and counts what was taken.
func (a *attacker) sendFieldWrite(one fieldWrite) {
	status := 0
	for _, step := range one.steps {
		text, err := json.Marshal(step.body)
		if err != nil {
			a.note(err.Error(), "", 0)
			return
		}
		status = a.apiPath(step.method, step.path, step.contentType, text)
	}
	if status/100 == 2 {
		a.mu.Lock()
		a.report.Taken[one.field]++
		a.mu.Unlock()
	}
}
