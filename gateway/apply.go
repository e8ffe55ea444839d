// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/util/csaupgrade"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// liveWebhook is a Webhook as the API server has it: every byte of it, because
// what is applied again must not be spelled otherwise ("72h", "72h0m0s").
type liveWebhook struct {
	object  *unstructured.Unstructured
	webhook *v1alpha1.Webhook
}

func newWebhookObject(key types.NamespacedName) *unstructured.Unstructured {
	object := &unstructured.Unstructured{}
	object.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("Webhook"))
	object.SetNamespace(key.Namespace)
	object.SetName(key.Name)
	return object
}

func readWebhook(object *unstructured.Unstructured) (*liveWebhook, error) {
	live := &liveWebhook{object: object, webhook: &v1alpha1.Webhook{}}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, live.webhook); err != nil {
		return nil, fmt.Errorf("read webhook %s/%s: %w", object.GetNamespace(), object.GetName(), err)
	}
	return live, nil
}

// apply changes fields by server-side apply, without force, as the caller. It
// returns errOvertaken if the webhook has changed since it was read.
func (g *Gateway) apply(ctx context.Context, live *liveWebhook, want wanted) (*v1alpha1.Webhook, error) {
	if want.isEmpty() {
		return live.webhook, nil
	}
	if err := g.ownByApply(ctx, live); err != nil {
		return nil, err
	}
	owners, err := readOwners(live.object.GetManagedFields())
	if err != nil {
		return nil, err
	}
	if p := owners.refuse(live.webhook, want); p != nil {
		return nil, p
	}
	next := newWebhookObject(client.ObjectKeyFromObject(live.object))
	next.SetResourceVersion(live.object.GetResourceVersion())
	next.Object["spec"] = owners.configuration(live.object, want)
	if err := g.callers.Apply(ctx, client.ApplyConfigurationFromUnstructured(next), client.FieldOwner(fieldManager)); err != nil {
		return nil, notApplied(err)
	}
	changed, err := readWebhook(next)
	if err != nil {
		return nil, err
	}
	return changed.webhook, nil
}

// ownByApply makes what the gateway created, or somebody in its name, its own in
// the sense of server-side apply: else it would stand in its own way.
func (g *Gateway) ownByApply(ctx context.Context, live *liveWebhook) error {
	patch, err := csaupgrade.UpgradeManagedFieldsPatch(live.object, sets.New(fieldManager), fieldManager)
	if err != nil {
		return fmt.Errorf("read the owners of webhook %s/%s: %w", live.object.GetNamespace(), live.object.GetName(), err)
	}
	if patch == nil {
		return nil
	}
	if err := g.callers.Patch(ctx, live.object, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(fieldManager)); err != nil {
		return notApplied(err)
	}
	return nil
}

func notApplied(err error) error {
	if !apierrors.IsConflict(err) {
		return fromAPI(err, "changing the webhook")
	}
	status, _ := errors.AsType[*apierrors.StatusError](err)
	p := newProblem(http.StatusConflict, reasonFieldOwned, "")
	if details := status.Status().Details; details != nil {
		for _, cause := range details.Causes {
			if cause.Type == metav1.CauseTypeFieldManagerConflict {
				field := strings.TrimPrefix(strings.TrimPrefix(cause.Field, "."), "spec.")
				p.Errors = append(p.Errors, rest.ProblemField{Field: field, Detail: cause.Message, Reason: reasonFieldOwned})
			}
		}
	}
	if len(p.Errors) == 0 {
		return errOvertaken
	}
	p.Detail = p.Errors[0].Field + ": " + p.Errors[0].Detail
	return p
}

// owners are the fields of a Webhook and whose they are.
type owners struct {
	ours   *fieldpath.Set
	others map[string]*fieldpath.Set // by field manager
}

func readOwners(entries []metav1.ManagedFieldsEntry) (*owners, error) {
	o := &owners{ours: fieldpath.NewSet(), others: map[string]*fieldpath.Set{}}
	for _, entry := range entries {
		if entry.Subresource != "" || entry.FieldsV1 == nil {
			continue
		}
		fields := fieldpath.NewSet()
		if err := fields.FromJSON(entry.FieldsV1.GetRawReader()); err != nil {
			return nil, fmt.Errorf("read the fields of %q: %w", entry.Manager, err)
		}
		if entry.Manager == fieldManager && entry.Operation == metav1.ManagedFieldsOperationApply {
			o.ours = fields
			continue
		}
		if known := o.others[entry.Manager]; known != nil {
			fields = fields.Union(known)
		}
		o.others[entry.Manager] = fields
	}
	return o, nil
}

// refuse returns a problem for each field that is not ours to change: one with
// another owner, and an event that would stay in the set because another owner
// wants it there, or because nobody is known to.
func (o *owners) refuse(webhook *v1alpha1.Webhook, want wanted) *problem {
	var errs []rest.ProblemField
	refused := func(field, what string, names []string) {
		detail := fmt.Sprintf("%s owned by %s; %s", what, quoted(names), wayOut(names[0], webhook.Name, field))
		errs = append(errs, rest.ProblemField{Field: field, Detail: detail, Reason: reasonFieldOwned})
	}
	for field, changes := range map[string]bool{"url": want.url != nil, "description": want.description != nil, "suspend": want.suspend != nil} {
		if names := o.of(fieldpath.MakePathOrDie("spec", field)); changes && len(names) > 0 {
			refused(field, "is", names)
		}
	}
	for _, event := range webhook.Spec.Events {
		if want.events == nil || slices.Contains(want.events, event) {
			continue
		}
		path := fieldpath.MakePathOrDie("spec", "events", value.NewValueInterface(event))
		names := o.of(path)
		if len(names) == 0 && !o.ours.Has(path) {
			names = []string{"before-first-apply"}
		}
		if len(names) > 0 {
			refused("events", fmt.Sprintf("%q would stay: it is", event), names)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	slices.SortFunc(errs, func(a, b rest.ProblemField) int { return strings.Compare(a.Field+a.Detail, b.Field+b.Detail) })
	return newProblem(http.StatusConflict, reasonFieldOwned, errs[0].Field+": "+errs[0].Detail, errs...)
}

// of names the others that own a field.
func (o *owners) of(path fieldpath.Path) (names []string) {
	for name, fields := range o.others {
		if fields.Has(path) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func quoted(names []string) string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = fmt.Sprintf("%q", name)
	}
	return strings.Join(all, " and ")
}

// wayOut says what to do about a field that somebody else owns.
func wayOut(owner, webhook, field string) string {
	switch {
	case strings.HasPrefix(owner, "argocd"):
		return "change it in the Git repository that Argo CD applies"
	case owner == "kustomize-controller" || owner == "helm-controller":
		return "change it in the Git repository that Flux applies"
	case strings.HasPrefix(owner, "kubectl") || owner == "before-first-apply":
		return fmt.Sprintf(`change it once with: kubectl patch webhook %s --type merge --field-manager %s -p '{"spec":{%q: <new value>}}'; from then on it can be changed here`, webhook, fieldManager, field)
	}
	return "change it there"
}

// configuration is what to apply: the fields that we own as they are, or they
// would be removed, and the changes.
func (o *owners) configuration(object *unstructured.Unstructured, want wanted) map[string]any {
	spec := map[string]any{}
	current, _, _ := unstructured.NestedMap(object.Object, "spec")
	ours := o.ours.WithPrefix(fieldpath.PathElement{FieldName: new("spec")})
	for field, now := range current {
		element := fieldpath.PathElement{FieldName: &field}
		if ours.Members.Has(element) || !ours.WithPrefix(element).Empty() {
			spec[field] = now
		}
	}
	if events, ok := spec["events"].([]any); ok {
		events = slices.DeleteFunc(events, func(event any) bool {
			return !o.ours.Has(fieldpath.MakePathOrDie("spec", "events", value.NewValueInterface(event)))
		})
		if spec["events"] = events; len(events) == 0 {
			delete(spec, "events")
		}
	}
	if want.url != nil {
		spec["url"] = *want.url
	}
	if want.events != nil {
		events := make([]any, len(want.events))
		for i, event := range want.events {
			events[i] = event
		}
		spec["events"] = events
	}
	if want.description != nil {
		spec["description"] = *want.description
	}
	if want.suspend != nil {
		spec["suspend"] = *want.suspend
	}
	return spec
}
