// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"

	"bbmcp.quietstack.com/webhooks/api/rest"
)

const (
	// clientSideApply is the field manager of kubectl apply without --server-side: it
	// replaces whole lists by those in the file.
	clientSideApply = "kubectl-client-side-apply"
	// unknownOwner is the API server's name for the owner of fields that have none.
	unknownOwner = "before-first-apply"
)

// fieldOwners tells which field manager owns which fields of a Webhook.
type fieldOwners struct {
	own    *fieldpath.Set
	others map[string]*fieldpath.Set // by field manager
	// appliers are the other managers that apply their whole configuration again and
	// again; an entry added to one of their lists would be removed, or shown as drift.
	appliers map[string]bool
}

func parseFieldOwners(entries []metav1.ManagedFieldsEntry) (*fieldOwners, error) {
	o := &fieldOwners{own: fieldpath.NewSet(), others: map[string]*fieldpath.Set{}, appliers: map[string]bool{}}
	for _, entry := range entries {
		if entry.Subresource != "" || entry.FieldsV1 == nil {
			continue
		}
		fields := fieldpath.NewSet()
		if err := fields.FromJSON(entry.FieldsV1.GetRawReader()); err != nil {
			return nil, fmt.Errorf("read the fields of %q: %w", entry.Manager, err)
		}
		if entry.Manager == fieldManager && entry.Operation == metav1.ManagedFieldsOperationApply {
			o.own = fields
			continue
		}
		if entry.Operation == metav1.ManagedFieldsOperationApply || isGitOpsOwner(entry.Manager) || entry.Manager == clientSideApply {
			o.appliers[entry.Manager] = true
		}
		if known := o.others[entry.Manager]; known != nil {
			fields = fields.Union(known)
		}
		o.others[entry.Manager] = fields
	}
	return o, nil
}

// checkChange returns a problem for each field that the gateway may not change: a field
// with another owner; an event that would stay in the list because another manager owns
// it, or because its owner is unknown; and an event that would be added to a list that
// another manager applies.
func (o *fieldOwners) checkChange(live *liveWebhook, change webhookChange) *problem {
	var errs []rest.ProblemField
	addProblem := func(path []string, finding string, names []string) {
		field := settingFieldName(strings.Join(path, "."))
		detail := fmt.Sprintf("%s owned by %s; %s", finding, joinOwners(names), suggestOwnerFix(names[0], live.webhook.Name, path))
		errs = append(errs, rest.ProblemField{Field: field, Detail: detail, Reason: reasonFieldOwned})
	}
	for _, c := range change.fields {
		path := specFieldPath(c.path)
		names := o.listOwners(path)
		if c.value == nil && len(names) == 0 && !o.own.Has(path) {
			names = []string{unknownOwner}
		}
		if len(names) > 0 {
			addProblem(c.path, "is", names)
		}
	}
	for event, names := range o.findRetainedEvents(live.webhook.Spec.Events, change.events) {
		addProblem([]string{"events"}, fmt.Sprintf("%q would stay: it is", event), names)
	}
	if added := slices.DeleteFunc(slices.Clone(change.events), func(event string) bool {
		return slices.Contains(live.webhook.Spec.Events, event)
	}); len(added) > 0 {
		if names := o.listEventAppliers(live.webhook.Spec.Events); len(names) > 0 {
			addProblem([]string{"events"}, fmt.Sprintf("%q cannot be added here: the list is", added[0]), names)
		}
	}
	if len(errs) == 0 {
		return nil
	}
	slices.SortFunc(errs, func(a, b rest.ProblemField) int { return strings.Compare(a.Field+a.Detail, b.Field+b.Detail) })
	return newProblem(http.StatusConflict, reasonFieldOwned, errs[0].Field+": "+errs[0].Detail, errs...)
}

// findRetainedEvents returns the events that the caller wants removed and that would stay,
// each with its owners.
func (o *fieldOwners) findRetainedEvents(events, wanted []string) map[string][]string {
	retained := map[string][]string{}
	for _, event := range events {
		if wanted == nil || slices.Contains(wanted, event) {
			continue
		}
		path := eventFieldPath(event)
		names := o.listOwners(path)
		if len(names) == 0 && !o.own.Has(path) {
			names = []string{unknownOwner}
		}
		if len(names) > 0 {
			retained[event] = names
		}
	}
	return retained
}

// listEventAppliers lists the other managers that apply some of the events.
func (o *fieldOwners) listEventAppliers(events []string) (names []string) {
	for _, event := range events {
		for _, name := range o.listOwners(eventFieldPath(event)) {
			if o.appliers[name] {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func eventFieldPath(event string) fieldpath.Path {
	return fieldpath.MakePathOrDie("spec", "events", value.NewValueInterface(event))
}

// specFieldPath is the path of a field of the spec.
func specFieldPath(names []string) fieldpath.Path {
	parts := []any{"spec"}
	for _, name := range names {
		parts = append(parts, name)
	}
	return fieldpath.MakePathOrDie(parts...)
}

// listOwners lists the other managers that own a field.
func (o *fieldOwners) listOwners(path fieldpath.Path) (names []string) {
	for name, fields := range o.others {
		if fields.Has(path) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func joinOwners(names []string) string {
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = fmt.Sprintf("%q", name)
	}
	return strings.Join(quoted, " and ")
}

// isGitOpsOwner reports whether a field manager is a controller that applies a Git repository.
func isGitOpsOwner(manager string) bool {
	return strings.HasPrefix(manager, "argocd") || manager == "kustomize-controller" || manager == "helm-controller"
}

// suggestOwnerFix says how to change a field that has another owner.
func suggestOwnerFix(owner, webhook string, path []string) string {
	switch {
	case strings.HasPrefix(owner, "argocd"):
		return "change it in the Git repository that Argo CD applies"
	case isGitOpsOwner(owner):
		return "change it in the Git repository that Flux applies"
	case strings.HasPrefix(owner, "kubectl") || owner == unknownOwner:
		patch := "<new value>"
		for _, name := range slices.Backward(path) {
			patch = fmt.Sprintf("{%q: %s}", name, patch)
		}
		return fmt.Sprintf(`change it once with: kubectl patch webhook %s --type merge --field-manager %s -p '{"spec":%s}'; from then on it can be changed here, until somebody applies a file that names it`, webhook, fieldManager, patch)
	}
	return "change it there"
}

// selectOwnedFields returns the members of an object that are in a set. Of a member that is
// owned in part only that part is returned.
func selectOwnedFields(members map[string]any, owned *fieldpath.Set) map[string]any {
	picked := map[string]any{}
	for name, current := range members {
		element := fieldpath.PathElement{FieldName: &name}
		inner, isObject := current.(map[string]any)
		parts := owned.WithPrefix(element)
		switch {
		case isObject && !parts.Empty():
			picked[name] = selectOwnedFields(inner, parts)
		case owned.Members.Has(element), !parts.Empty():
			picked[name] = current
		}
	}
	return picked
}
