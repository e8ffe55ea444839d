// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/denial"
)

// handledTimeout is how long a response waits for the controller to handle the request.
const handledTimeout = 2 * time.Second

// ConditionalWebhook is a request for one webhook with a precondition.
type ConditionalWebhook struct {
	WebhookPath
	Precondition
}

func (h *webhookChanger) registerWebhookActions(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "delete-webhook", Method: http.MethodDelete, Path: "/v1/webhooks/{id}", Tags: []string{"Webhooks"},
		DefaultStatus: http.StatusNoContent, Summary: "Delete a webhook with its secret and its deliveries",
		Description: "Done with the caller's own token: needs the right to delete webhooks. What belongs to the webhook is deleted in the background.",
	}, h.deleteWebhook)
	huma.Register(api, huma.Operation{
		OperationID: "suspend-webhook", Method: http.MethodPost, Path: "/v1/webhooks/{id}/suspend", Tags: []string{"Webhooks"},
		Summary:     "Hold a webhook's deliveries",
		Description: "New events are collected. Done with the caller's own token: needs the right to patch webhooks. 409 if somebody else owns the field, as for a change.",
	}, h.suspendWebhook)
	huma.Register(api, huma.Operation{
		OperationID: "resume-webhook", Method: http.MethodPost, Path: "/v1/webhooks/{id}/resume", Tags: []string{"Webhooks"},
		Summary:     "Send what was collected while a webhook was suspended, paced",
		Description: "Done with the caller's own token: needs the right to patch webhooks. 409 if somebody else owns the field, as for a change.",
	}, h.resumeWebhook)
	huma.Register(api, huma.Operation{
		OperationID: "enable-webhook", Method: http.MethodPost, Path: "/v1/webhooks/{id}/enable", Tags: []string{"Webhooks"},
		Summary: "Enable a webhook that was disabled",
		Description: "Done with the caller's own token: needs the right to patch webhooks. The answer waits up to 2 s for the controller; " +
			"if it still says disabled, the controller will do it once it is back.",
	}, h.enableWebhook)
}

func (h *webhookChanger) suspendWebhook(ctx context.Context, in *ConditionalWebhook) (*webhookAnswer, error) {
	return h.setSuspend(ctx, in, true)
}

func (h *webhookChanger) resumeWebhook(ctx context.Context, in *ConditionalWebhook) (*webhookAnswer, error) {
	return h.setSuspend(ctx, in, false)
}

func (h *webhookChanger) setSuspend(ctx context.Context, in *ConditionalWebhook, suspend bool) (*webhookAnswer, error) {
	_, cached, err := h.findPermittedWebhook(ctx, &in.WebhookPath, "patch")
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	webhook, err := h.changeWebhook(ctx, cached, in.Precondition, webhookChange{fields: []fieldChange{{path: []string{"suspend"}, value: suspend}}})
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	return h.answerWebhook(webhook), nil
}

func (h *webhookChanger) enableWebhook(ctx context.Context, in *WebhookPath) (*webhookAnswer, error) {
	_, cached, err := h.findPermittedWebhook(ctx, in, "patch")
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	request := h.now().UTC().Format(time.RFC3339Nano)
	annotated, err := h.requestByAnnotation(ctx, cached, v1alpha1.EnableRequestedAtAnnotation, request)
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	waitCtx, cancel := context.WithTimeout(ctx, handledTimeout)
	defer cancel()
	handled := h.webhooks.AwaitState(waitCtx, annotated.Namespace, in.ID, func(w *v1alpha1.Webhook) bool {
		return w.Status.LastHandledEnableAt == request || w.Annotations[v1alpha1.EnableRequestedAtAnnotation] != request
	})
	if handled == nil {
		return nil, failWithProblem(ctx, notFoundProblem("webhook"))
	}
	return h.answerWebhook(handled), nil
}

// requestByAnnotation asks the controller for an action by an annotation. No field manager
// is refused the key: the last request counts.
func (h *webhookChanger) requestByAnnotation(ctx context.Context, cached *v1alpha1.Webhook, annotation, request string) (*v1alpha1.Webhook, error) {
	patch := fmt.Appendf(nil, `{"metadata":{"uid":%q,"annotations":{%q:%q}}}`, cached.UID, annotation, request)
	annotated := &v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Namespace: cached.Namespace, Name: cached.Name}}
	err := h.callerClient.Patch(ctx, annotated, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(requestManager))
	if denial.IsConflict(err) || denial.IsNotFound(err) { // another webhook has the name now
		return nil, notFoundProblem("webhook")
	}
	if err != nil {
		return nil, problemFromAPI(err, "changing the webhook")
	}
	h.webhooks.ApplyWrite(annotated)
	return annotated, nil
}

func (h *webhookChanger) deleteWebhook(ctx context.Context, in *ConditionalWebhook) (*struct{}, error) {
	_, cached, err := h.findPermittedWebhook(ctx, &in.WebhookPath, "delete")
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	for range maxChangeTries {
		err = h.deleteWebhookOnce(ctx, cached, in.Precondition)
		if !errors.Is(err, errModified) {
			break
		}
	}
	switch {
	case errors.Is(err, errModified):
		return nil, failWithProblem(ctx, contendedProblem())
	case err != nil:
		return nil, failWithProblem(ctx, err)
	}
	return nil, nil
}

// deleteWebhookOnce deletes a webhook if the precondition holds.
func (h *webhookChanger) deleteWebhookOnce(ctx context.Context, cached *v1alpha1.Webhook, condition Precondition) error {
	preconditions := client.Preconditions{UID: &cached.UID}
	if condition.IfMatch != "" {
		live, err := h.readLiveWebhook(ctx, client.ObjectKeyFromObject(cached))
		if err != nil {
			return err
		}
		if !condition.holds(live.webhook) {
			return condition.problem()
		}
		preconditions = client.Preconditions{UID: &live.webhook.UID, ResourceVersion: &live.webhook.ResourceVersion}
	}
	err := h.callerClient.Delete(ctx, cached.DeepCopy(), preconditions, client.PropagationPolicy(metav1.DeletePropagationBackground))
	switch {
	case denial.IsConflict(err) && condition.IfMatch != "":
		return errModified
	case denial.IsConflict(err), denial.IsNotFound(err):
		h.webhooks.ApplyDelete(client.ObjectKeyFromObject(cached), cached.UID)
		return notFoundProblem("webhook")
	case err != nil:
		return problemFromAPI(err, "deleting the webhook")
	}
	h.webhooks.ApplyDelete(client.ObjectKeyFromObject(cached), cached.UID)
	return nil
}
