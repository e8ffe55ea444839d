// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/gateway/auth"
	"bbmcp.quietstack.com/webhooks/gateway/store"
)

// WebhookPath is the path of a request for one webhook.
type WebhookPath struct {
	Scope

	ID string `path:"id" maxLength:"64" doc:"webhook_id" example:"wh_3b1f0f6f2a9c4d5e"`
}

// webhookAnswer is a response with one webhook.
type webhookAnswer struct {
	ETag string `header:"ETag" doc:"Version of the webhook, for If-Match"`
	Body rest.Webhook
}

type webhooksAnswer struct {
	Body rest.WebhookList
}

func (h *webhookReader) registerWebhookList(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "list-webhooks", Method: http.MethodGet, Path: "/v1/webhooks", Tags: []string{"Webhooks"},
		Summary: "List webhooks by name", Description: "Needs the right to list webhooks.",
	}, h.listWebhooks)
	huma.Register(api, huma.Operation{
		OperationID: "get-webhook", Method: http.MethodGet, Path: "/v1/webhooks/{id}", Tags: []string{"Webhooks"},
		Summary: "Read a webhook", Description: "Needs the right to get webhooks. The secret is never shown.",
	}, h.getWebhook)
}

// webhookPosition is the position in a list of webhooks at which a page ends.
type webhookPosition struct {
	Name string `json:"n"`
}

func (h *webhookReader) listWebhooks(ctx context.Context, in *struct {
	Scope
	Page
},
) (*webhooksAnswer, error) {
	caller, namespace, err := in.resolveScope(ctx)
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	if err := h.requireRight(ctx, caller, auth.Right{Verb: "list", Resource: auth.Webhooks, Namespace: namespace}); err != nil {
		return nil, failWithProblem(ctx, err)
	}
	list := "webhooks/" + namespace
	var after webhookPosition
	if in.Cursor != "" {
		if err := decodeCursor(list, in.Cursor, &after); err != nil {
			return nil, failWithProblem(ctx, err)
		}
	}
	answer := &webhooksAnswer{Body: rest.WebhookList{Data: []rest.Webhook{}}}
	for _, webhook := range h.webhooks.List(namespace) {
		if webhook.Name <= after.Name {
			continue
		}
		if len(answer.Body.Data) == in.Limit {
			answer.Body.NextCursor = encodeCursor(list, webhookPosition{Name: answer.Body.Data[in.Limit-1].Name})
			break
		}
		answer.Body.Data = append(answer.Body.Data, presentWebhook(webhook))
	}
	return answer, nil
}

func (h *webhookReader) getWebhook(ctx context.Context, in *WebhookPath) (*webhookAnswer, error) {
	_, webhook, err := h.findReadableWebhook(ctx, in)
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	return h.answerWebhook(webhook), nil
}

// findReadableWebhook returns the webhook of a request, if the caller may read it.
func (h *webhookReader) findReadableWebhook(ctx context.Context, in *WebhookPath) (*auth.Caller, *v1alpha1.Webhook, error) {
	return h.findPermittedWebhook(ctx, in, "get")
}

// findPermittedWebhook returns the webhook of a request, if the caller may use the verb on
// it. A caller without the right does not learn whether the webhook exists.
func (h *webhookReader) findPermittedWebhook(ctx context.Context, in *WebhookPath, verb string) (*auth.Caller, *v1alpha1.Webhook, error) {
	caller, namespace, err := in.resolveScope(ctx)
	if err != nil {
		return nil, nil, err
	}
	webhook := h.webhooks.FindByID(namespace, in.ID)
	name := in.ID
	if webhook != nil {
		name = webhook.Name
	}
	if err := h.requireRightOnObject(ctx, caller, auth.Right{Verb: verb, Resource: auth.Webhooks, Namespace: namespace, Name: name}); err != nil {
		return nil, nil, err
	}
	if webhook == nil {
		return nil, nil, notFoundProblem("webhook")
	}
	return caller, webhook, nil
}

func (h *webhookReader) answerWebhook(webhook *v1alpha1.Webhook) *webhookAnswer {
	return &webhookAnswer{ETag: etagOf(webhook), Body: h.presentWebhook(webhook)}
}

// presentWebhook is the REST representation of a webhook with its warnings.
func (h *webhookReader) presentWebhook(webhook *v1alpha1.Webhook) rest.Webhook {
	shown := presentWebhook(webhook)
	shown.Warnings = append(h.unknownTypeWarnings(webhook.Spec.Events), secretURLWarnings(webhook.Spec.URL)...)
	return shown
}

func presentWebhook(webhook *v1alpha1.Webhook) rest.Webhook {
	status := map[v1alpha1.WebhookState]string{
		v1alpha1.WebhookFailing: rest.WebhookFailing, v1alpha1.WebhookDisabled: rest.WebhookDisabled,
	}[webhook.Status.State]
	if status == "" {
		status = rest.WebhookActive
	}
	shown := rest.Webhook{
		WebhookID: store.WebhookID(webhook), Name: webhook.Name, URL: webhook.Spec.URL, Events: webhook.Spec.Events,
		Description: nullableText(webhook.Spec.Description), Status: status, Suspended: webhook.Spec.Suspend,
		CreatedAt: webhook.CreationTimestamp.UTC(), EndpointHealth: presentWebhookEndpoint(webhook), Problem: presentWebhookProblem(webhook),
		DeliveriesSkipped: webhook.Status.DeliveriesSkipped, LastSkippedAt: nullableSeconds(webhook.Status.LastSkippedTime),
		DeliveriesDeletedEarly: webhook.Status.DeliveriesDeletedEarly,
	}
	presentSettings(webhook, &shown)
	return shown
}

// presentWebhookEndpoint is the REST representation of the condition EndpointHealthy.
func presentWebhookEndpoint(webhook *v1alpha1.Webhook) rest.EndpointHealth {
	condition := meta.FindStatusCondition(webhook.Status.Conditions, v1alpha1.ConditionEndpointHealthy)
	if condition == nil { // the controller has not seen the webhook yet
		return rest.EndpointHealth{Reason: v1alpha1.ReasonNoDeliveries, Message: "no delivery has finished yet"}
	}
	shown := rest.EndpointHealth{Reason: condition.Reason, Message: condition.Message}
	if condition.Status != metav1.ConditionUnknown {
		shown.Healthy = new(condition.Status == metav1.ConditionTrue)
		shown.Since = new(condition.LastTransitionTime.UTC())
	}
	return shown
}

// presentWebhookProblem is the REST representation of the condition Ready while it is False; nil
// otherwise.
func presentWebhookProblem(webhook *v1alpha1.Webhook) *rest.WebhookProblem {
	condition := meta.FindStatusCondition(webhook.Status.Conditions, v1alpha1.ConditionReady)
	if condition == nil || condition.Status != metav1.ConditionFalse {
		return nil
	}
	return &rest.WebhookProblem{Reason: condition.Reason, Message: condition.Message, Since: condition.LastTransitionTime.UTC()}
}
