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

// handledWithin is how long an answer waits for the controller to do what it
// was asked for.
const handledWithin = 2 * time.Second

// ConditionalWebhook is a request about one webhook in a certain state.
type ConditionalWebhook struct {
	WebhookPath
	Condition
}

func (g *Gateway) registerSteer(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "delete-webhook", Method: http.MethodDelete, Path: "/v1/webhooks/{id}", Tags: []string{"Webhooks"},
		DefaultStatus: http.StatusNoContent, Summary: "Delete a webhook with its secret and its deliveries",
		Description: "Done with the caller's own token: needs the right to delete webhooks. What belongs to the webhook is deleted in the background.",
	}, g.deleteWebhook)
	huma.Register(api, huma.Operation{
		OperationID: "suspend-webhook", Method: http.MethodPost, Path: "/v1/webhooks/{id}/suspend", Tags: []string{"Webhooks"},
		Summary:     "Hold a webhook's deliveries",
		Description: "New events are collected. Done with the caller's own token: needs the right to patch webhooks. 409 if somebody else owns the field, as for a change.",
	}, g.suspendWebhook)
	huma.Register(api, huma.Operation{
		OperationID: "resume-webhook", Method: http.MethodPost, Path: "/v1/webhooks/{id}/resume", Tags: []string{"Webhooks"},
		Summary:     "Send what was collected while a webhook was suspended, paced",
		Description: "Done with the caller's own token: needs the right to patch webhooks. 409 if somebody else owns the field, as for a change.",
	}, g.resumeWebhook)
	huma.Register(api, huma.Operation{
		OperationID: "enable-webhook", Method: http.MethodPost, Path: "/v1/webhooks/{id}/enable", Tags: []string{"Webhooks"},
		Summary: "Enable a webhook that was disabled",
		Description: "Done with the caller's own token: needs the right to patch webhooks. The answer waits up to 2 s for the controller; " +
			"if it still says disabled, the controller will do it once it is back.",
	}, g.enableWebhook)
}

func (g *Gateway) suspendWebhook(ctx context.Context, in *ConditionalWebhook) (*webhookAnswer, error) {
	return g.setSuspend(ctx, in, true)
}

func (g *Gateway) resumeWebhook(ctx context.Context, in *ConditionalWebhook) (*webhookAnswer, error) {
	return g.setSuspend(ctx, in, false)
}

func (g *Gateway) setSuspend(ctx context.Context, in *ConditionalWebhook, suspend bool) (*webhookAnswer, error) {
	_, known, err := g.permitted(ctx, &in.WebhookPath, "patch")
	if err != nil {
		return nil, fail(ctx, err)
	}
	webhook, err := g.change(ctx, known, in.Condition, wanted{fields: []fieldChange{{path: []string{"suspend"}, value: suspend}}})
	if err != nil {
		return nil, fail(ctx, err)
	}
	return g.answerWebhook(webhook), nil
}

func (g *Gateway) enableWebhook(ctx context.Context, in *WebhookPath) (*webhookAnswer, error) {
	_, known, err := g.permitted(ctx, in, "patch")
	if err != nil {
		return nil, fail(ctx, err)
	}
	request := g.now().UTC().Format(time.RFC3339Nano)
	asked, err := g.request(ctx, known, v1alpha1.EnableRequestedAtAnnotation, request)
	if err != nil {
		return nil, fail(ctx, err)
	}
	waiting, cancel := context.WithTimeout(ctx, handledWithin)
	defer cancel()
	handled := g.webhooks.awaitState(waiting, asked.Namespace, in.ID, func(w *v1alpha1.Webhook) bool {
		return w.Status.LastHandledEnableAt == request || w.Annotations[v1alpha1.EnableRequestedAtAnnotation] != request
	})
	if handled == nil {
		return nil, fail(ctx, notFound("webhook"))
	}
	return g.answerWebhook(handled), nil
}

// request puts an annotation on a webhook by which the controller is asked for
// something. The key belongs to nobody: whoever asks last is heard.
func (g *Gateway) request(ctx context.Context, known *v1alpha1.Webhook, annotation, request string) (*v1alpha1.Webhook, error) {
	patch := fmt.Appendf(nil, `{"metadata":{"uid":%q,"annotations":{%q:%q}}}`, known.UID, annotation, request)
	asked := &v1alpha1.Webhook{ObjectMeta: metav1.ObjectMeta{Namespace: known.Namespace, Name: known.Name}}
	err := g.callers.Patch(ctx, asked, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(requestManager))
	if denial.IsConflict(err) || denial.IsNotFound(err) { // the uid is that of another webhook
		return nil, notFound("webhook")
	}
	if err != nil {
		return nil, fromAPI(err, "changing the webhook")
	}
	g.webhooks.ApplyWrite(asked)
	return asked, nil
}

func (g *Gateway) deleteWebhook(ctx context.Context, in *ConditionalWebhook) (*struct{}, error) {
	_, known, err := g.permitted(ctx, &in.WebhookPath, "delete")
	if err != nil {
		return nil, fail(ctx, err)
	}
	for range changeTries {
		err = g.remove(ctx, known, in.Condition)
		if !errors.Is(err, errOvertaken) {
			break
		}
	}
	switch {
	case errors.Is(err, errOvertaken):
		return nil, fail(ctx, busy())
	case err != nil:
		return nil, fail(ctx, err)
	}
	return nil, nil
}

// remove deletes a webhook as the caller has seen it.
func (g *Gateway) remove(ctx context.Context, known *v1alpha1.Webhook, condition Condition) error {
	must := client.Preconditions{UID: &known.UID}
	if condition.IfMatch != "" {
		live, err := g.liveWebhook(ctx, client.ObjectKeyFromObject(known))
		if err != nil {
			return err
		}
		if !condition.holds(live.webhook) {
			return condition.failed()
		}
		must = client.Preconditions{UID: &live.webhook.UID, ResourceVersion: &live.webhook.ResourceVersion}
	}
	err := g.callers.Delete(ctx, known.DeepCopy(), must, client.PropagationPolicy(metav1.DeletePropagationBackground))
	switch {
	case denial.IsConflict(err) && condition.IfMatch != "":
		return errOvertaken
	case denial.IsConflict(err), denial.IsNotFound(err):
		g.webhooks.ApplyDelete(client.ObjectKeyFromObject(known), known.UID)
		return notFound("webhook")
	case err != nil:
		return fromAPI(err, "deleting the webhook")
	}
	g.webhooks.ApplyDelete(client.ObjectKeyFromObject(known), known.UID)
	return nil
}
