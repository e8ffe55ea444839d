// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/danielgtaylor/huma/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// maxChangeTries bounds how often a change starts anew because the object was modified by
// another client. The controller's own writes are a minute apart.
const maxChangeTries = 8

// errModified says that the object was modified after it was read.
var errModified = errors.New("the object has changed since it was read")

// webhookChange holds new values of a webhook's fields. Fields that are not in it keep
// their values.
type webhookChange struct {
	events []string // nil: as they are
	fields []fieldChange
}

// withoutUnchanged removes the values that the webhook has already.
func (w webhookChange) withoutUnchanged(live *liveWebhook) webhookChange {
	if equalEventSets(w.events, live.webhook.Spec.Events) {
		w.events = nil
	}
	w.fields = slices.DeleteFunc(slices.Clone(w.fields), func(c fieldChange) bool {
		current, found := live.value(c.path)
		if !found {
			return c.value == nil || c.value == "" || c.value == false // equal to unset
		}
		return equalSettings(current, c.value)
	})
	return w
}

func (w webhookChange) isEmpty() bool { return w.events == nil && len(w.fields) == 0 }

func equalEventSets(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}

// UpdateWebhook is a PUT or PATCH request.
type UpdateWebhook struct {
	WebhookPath
	Precondition

	Body rest.WebhookUpdate
	// RawBody distinguishes a null member from a missing one.
	RawBody []byte
}

func (h *webhookChanger) registerWebhookUpdate(api huma.API) {
	for _, operation := range []huma.Operation{
		{OperationID: "update-webhook", Method: http.MethodPut},
		{OperationID: "patch-webhook", Method: http.MethodPatch},
	} {
		operation.Path, operation.Tags, operation.Summary = "/v1/webhooks/{id}", []string{"Webhooks"}, "Change a webhook"
		operation.Description = "What is given is changed, the rest is kept; PUT and PATCH do the same. Done with the caller's own token: needs the right to " +
			"patch webhooks. A field that somebody else owns, such as Argo CD or Flux, gives 409 naming the owner (server-side apply without force), " +
			"and so does an event beside those of a list that Git keeps."
		huma.Register(api, operation, h.updateWebhook)
	}
	path := api.OpenAPI().Paths["/v1/webhooks/{id}"]
	for _, operation := range []*huma.Operation{path.Put, path.Patch} {
		delete(operation.RequestBody.Content, "application/octet-stream") // RawBody is no second form of it
	}
}

func (h *webhookChanger) updateWebhook(ctx context.Context, in *UpdateWebhook) (*webhookAnswer, error) {
	_, cached, err := h.findPermittedWebhook(ctx, &in.WebhookPath, "patch")
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	change := webhookChange{events: in.Body.Events}
	if change.fields, err = parseSettings(in.RawBody); err != nil {
		return nil, failWithProblem(ctx, err)
	}
	if in.Body.URL != nil {
		if err := h.checkWebhookURL(ctx, *in.Body.URL); err != nil {
			return nil, failWithProblem(ctx, err)
		}
		change.fields = append(change.fields, fieldChange{path: []string{"url"}, value: *in.Body.URL})
	}
	if in.Body.Description != nil {
		change.fields = append(change.fields, fieldChange{path: []string{"description"}, value: *in.Body.Description})
	}
	if change.isEmpty() {
		return nil, failWithProblem(ctx, newFieldProblem(http.StatusUnprocessableEntity, reasonFieldInvalid, "body",
			"give at least one of url, events, description, retry_policy, delivery_deadline, overflow and retention"))
	}
	if err := checkWebhookEvents(change.events); err != nil {
		return nil, failWithProblem(ctx, err)
	}
	webhook, err := h.changeWebhook(ctx, cached, in.Precondition, change)
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	return h.answerWebhook(webhook), nil
}

// changeWebhook applies all of a change, or none of it.
func (h *webhookChanger) changeWebhook(ctx context.Context, cached *v1alpha1.Webhook, condition Precondition, change webhookChange) (*v1alpha1.Webhook, error) {
	for range maxChangeTries {
		live, err := h.readLiveWebhook(ctx, client.ObjectKeyFromObject(cached))
		if err != nil {
			return nil, err
		}
		if !condition.holds(live.webhook) {
			return nil, condition.problem()
		}
		changed, err := h.applyChange(ctx, live, change.withoutUnchanged(live))
		if errors.Is(err, errModified) {
			continue
		}
		if err != nil {
			return nil, err
		}
		h.webhooks.ApplyWrite(changed)
		return changed, nil
	}
	return nil, contendedProblem()
}
