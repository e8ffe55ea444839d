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
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/util/csaupgrade"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/structured-merge-diff/v6/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v6/value"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/denial"
)

// applyChange changes fields by server-side apply as the caller, without force. It returns
// errModified if the webhook was modified after it was read.
func (h *webhookChanger) applyChange(ctx context.Context, live *liveWebhook, change webhookChange) (*v1alpha1.Webhook, error) {
	if change.isEmpty() {
		return live.webhook, nil
	}
	if err := h.upgradeManagedFields(ctx, live); err != nil {
		return nil, err
	}
	owners, err := parseFieldOwners(live.object.GetManagedFields())
	if err != nil {
		return nil, err
	}
	if p := owners.checkChange(live, change); p != nil {
		return nil, p
	}
	next := newLiveWebhookObject(client.ObjectKeyFromObject(live.object))
	next.SetResourceVersion(live.object.GetResourceVersion())
	next.Object["spec"] = owners.buildApplyConfiguration(live.object, change)
	if err := h.callerClient.Apply(ctx, client.ApplyConfigurationFromUnstructured(next), client.FieldOwner(fieldManager)); err != nil {
		return nil, applyProblem(err)
	}
	changed, err := parseLiveWebhook(next)
	if err != nil {
		return nil, err
	}
	return changed.webhook, nil
}

// upgradeManagedFields turns the gateway's fields that were created or updated into
// applied ones; otherwise the gateway's own older entries would conflict with its apply.
func (h *webhookChanger) upgradeManagedFields(ctx context.Context, live *liveWebhook) error {
	patch, err := csaupgrade.UpgradeManagedFieldsPatch(live.object, sets.New(fieldManager), fieldManager)
	if err != nil {
		return fmt.Errorf("read the owners of webhook %s/%s: %w", live.object.GetNamespace(), live.object.GetName(), err)
	}
	if patch == nil {
		return nil
	}
	if err := h.callerClient.Patch(ctx, live.object, client.RawPatch(types.JSONPatchType, patch), client.FieldOwner(fieldManager)); err != nil {
		return applyProblem(err)
	}
	return nil
}

func applyProblem(err error) error {
	if !denial.IsConflict(err) {
		return problemFromAPI(err, "changing the webhook")
	}
	status, _ := errors.AsType[*apierrors.StatusError](err)
	p := newProblem(http.StatusConflict, reasonFieldOwned, "")
	if details := status.Status().Details; details != nil {
		for _, cause := range details.Causes {
			if cause.Type == metav1.CauseTypeFieldManagerConflict {
				field := settingFieldName(strings.TrimPrefix(strings.TrimPrefix(cause.Field, "."), "spec."))
				p.Errors = append(p.Errors, rest.ProblemField{Field: field, Detail: cause.Message, Reason: reasonFieldOwned})
			}
		}
	}
	if len(p.Errors) == 0 {
		return errModified
	}
	p.Detail = p.Errors[0].Field + ": " + p.Errors[0].Detail
	return p
}

// buildApplyConfiguration is the configuration to apply: the changes, and the fields that the
// gateway owns with their present values, because a field that is left out would be
// removed.
func (o *fieldOwners) buildApplyConfiguration(object *unstructured.Unstructured, change webhookChange) map[string]any {
	current, _, _ := unstructured.NestedMap(object.Object, "spec")
	spec := selectOwnedFields(current, o.own.WithPrefix(fieldpath.PathElement{FieldName: new("spec")}))
	if events, ok := spec["events"].([]any); ok {
		events = slices.DeleteFunc(events, func(event any) bool {
			return !o.own.Has(fieldpath.MakePathOrDie("spec", "events", value.NewValueInterface(event)))
		})
		if spec["events"] = events; len(events) == 0 {
			delete(spec, "events")
		}
	}
	if change.events != nil {
		events := make([]any, len(change.events))
		for i, event := range change.events {
			events[i] = event
		}
		spec["events"] = events
	}
	for _, c := range change.fields {
		if c.value == nil {
			removeNestedField(spec, c.path)
		} else {
			setNestedField(spec, c.path, c.value)
		}
	}
	return spec
}
