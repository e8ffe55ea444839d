// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"encoding/base32"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
	"bbmcp.quietstack.com/webhooks/gateway/auth"
	"bbmcp.quietstack.com/webhooks/gateway/store"
	"bbmcp.quietstack.com/webhooks/internal/denial"
	"bbmcp.quietstack.com/webhooks/internal/match"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

// completionTimeout bounds a sequence of writes that must be completed even if the caller
// has hung up.
const completionTimeout = 15 * time.Second

// secretAnswer is a response with a webhook and its signing secret, which no cache may
// store.
type secretAnswer struct {
	ETag         string `header:"ETag" doc:"Version of the webhook, for If-Match"`
	CacheControl string `header:"Cache-Control" doc:"no-store"`
	Body         rest.Webhook
}

type createdAnswer struct {
	Location     string `header:"Location" doc:"Where the webhook is"`
	ETag         string `header:"ETag" doc:"Version of the webhook, for If-Match"`
	CacheControl string `header:"Cache-Control" doc:"no-store"`
	Body         rest.Webhook
}

func (h *webhookReader) answerSecret(webhook *v1alpha1.Webhook, secret string) *secretAnswer {
	answer := &secretAnswer{ETag: etagOf(webhook), CacheControl: "no-store", Body: h.presentWebhook(webhook)}
	answer.Body.Secret = &secret
	return answer
}

func (h *webhookCreator) registerWebhookCreate(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "create-webhook", Method: http.MethodPost, Path: "/v1/webhooks", Tags: []string{"Webhooks"},
		DefaultStatus: http.StatusCreated, Summary: "Create a webhook",
		Description: "Done with the caller's own token: needs the right to create webhooks and secrets. " +
			"The answer holds the signing secret; it is shown here and by rotate-secret only.",
	}, h.createWebhook)
}

func (h *webhookCreator) createWebhook(ctx context.Context, in *struct {
	Scope

	Body rest.WebhookCreate
},
) (*createdAnswer, error) {
	caller, namespace, err := in.resolveScope(ctx)
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	if err := h.requireRight(ctx, caller, auth.Right{Verb: "create", Resource: auth.Webhooks, Namespace: namespace}); err != nil {
		return nil, failWithProblem(ctx, err)
	}
	secret, err := h.checkCreate(ctx, &in.Body)
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	spec, err := createdWebhookSpec(&in.Body)
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	webhook := &v1alpha1.Webhook{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: in.Body.Name,
			Annotations: map[string]string{v1alpha1.SecretFollowsAnnotation: "true"},
		},
		Spec: *spec,
	}
	if webhook, err = h.createWithSecret(ctx, webhook, secret); err != nil {
		return nil, failWithProblem(ctx, err)
	}
	answer := h.answerSecret(webhook, secret.Reveal())
	return &createdAnswer{createdWebhookLocation(webhook, in.Scope), answer.ETag, answer.CacheControl, answer.Body}, nil
}

// createdWebhookSpec is the spec of the webhook that a request creates.
func createdWebhookSpec(body *rest.WebhookCreate) (*v1alpha1.WebhookSpec, error) {
	text, err := json.Marshal(body.SettingsChange)
	if err != nil {
		return nil, err
	}
	changes, err := parseSettings(text)
	if err != nil {
		return nil, err
	}
	spec := &v1alpha1.WebhookSpec{}
	if err := applySettings(spec, changes); err != nil {
		return nil, err
	}
	spec.URL, spec.Events, spec.Description = body.URL, body.Events, body.Description
	return spec, nil
}

// createdWebhookLocation is the URL of a webhook, for the header Location.
func createdWebhookLocation(webhook *v1alpha1.Webhook, scope Scope) string {
	location := "/v1/webhooks/" + store.WebhookID(webhook)
	if scope.Namespace != "" {
		location += "?namespace=" + url.QueryEscape(scope.Namespace)
	}
	return location
}

// checkCreate validates a request, generates a missing name and returns the signing
// secret.
func (h *webhookCreator) checkCreate(ctx context.Context, body *rest.WebhookCreate) (secret signature.Secret, err error) {
	if err := h.checkWebhookURL(ctx, body.URL); err != nil {
		return secret, err
	}
	if err := checkWebhookEvents(body.Events); err != nil {
		return secret, err
	}
	if body.Name == "" {
		if body.Name, err = generateWebhookName(h.random); err != nil {
			return secret, err
		}
	} else if violations := validation.IsDNS1123Label(body.Name); len(violations) > 0 {
		return secret, newFieldProblem(http.StatusUnprocessableEntity, reasonFieldInvalid, "name", violations[0])
	}
	if body.Secret == "" {
		return signature.GenerateSecret(h.random)
	}
	if err := signature.ValidateSecret(body.Secret); err != nil {
		return secret, newFieldProblem(http.StatusUnprocessableEntity, reasonFieldInvalid, "secret", err.Error())
	}
	return signature.NewSecret(body.Secret), nil
}

// checkWebhookURL asks the dispatcher whether the operator allows an endpoint. The API server
// checks the grammar of the URL.
func (h *webhookChanger) checkWebhookURL(ctx context.Context, endpoint string) error {
	err := h.dispatcher.CheckURL(ctx, endpoint, h.forbidden())
	if refused, ok := errors.AsType[*dispatcher.URLError](err); ok {
		detail := refused.Message
		if refused.Reason != dispatcher.ReasonURLInvalid {
			detail += "; use a public https endpoint, or have the operator allow this one"
		}
		return newFieldProblem(http.StatusUnprocessableEntity, string(refused.Reason), "url", detail)
	}
	if err != nil {
		return unavailableProblem("checking the url", err)
	}
	return nil
}

func checkWebhookEvents(events []string) error {
	var wrong []rest.ProblemField
	for i, event := range events {
		detail := ""
		if err := match.Validate(event); err != nil {
			detail = err.Error()
		} else if slices.Contains(events[:i], event) {
			detail = "is in the list twice; leave one out"
		}
		if detail != "" {
			wrong = append(wrong, rest.ProblemField{Field: fmt.Sprintf("events[%d]", i), Detail: detail, Reason: reasonFieldInvalid})
		}
	}
	if len(wrong) == 0 {
		return nil
	}
	return newProblem(http.StatusUnprocessableEntity, reasonFieldInvalid, wrong[0].Field+": "+wrong[0].Detail, wrong...)
}

// generateWebhookName makes a random name.
func generateWebhookName(random io.Reader) (string, error) {
	var raw [10]byte
	if _, err := io.ReadFull(random, raw[:]); err != nil {
		return "", fmt.Errorf("make a name: %w", err)
	}
	return "wh-" + strings.ToLower(base32.StdEncoding.EncodeToString(raw[:])), nil
}

// createWithSecret creates a Webhook and its Secret, or neither. Both are tried in a dry
// run before either is written, because a caller who may create may not be allowed to
// delete again. A crash between the two writes leaves a Webhook for which the controller
// makes a secret after 30 s: the caller, who got no answer, finds it by a 409 and may
// rotate its secret or delete it.
func (h *webhookCreator) createWithSecret(ctx context.Context, webhook *v1alpha1.Webhook, secret signature.Secret) (*v1alpha1.Webhook, error) {
	if err := h.dryRunCreate(ctx, webhook, secret); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), completionTimeout)
	defer cancel()
	if err := h.callerClient.Create(ctx, webhook, client.FieldOwner(fieldManager)); err != nil {
		return nil, h.createWebhookProblem(err, webhook.Name)
	}
	if err := h.createSecret(ctx, webhook, secret); err != nil {
		return nil, h.undoCreate(ctx, webhook, err)
	}
	// Without this the controller would look for the Secret every second.
	follows := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:null}}}`, v1alpha1.SecretFollowsAnnotation)
	settled := webhook.DeepCopy()
	if err := h.callerClient.Patch(ctx, settled, client.RawPatch(types.MergePatchType, follows), client.FieldOwner(requestManager)); err != nil {
		settled = webhook
	}
	h.webhooks.ApplyWrite(settled)
	return settled, nil
}

// dryRunCreate lets the API server check Webhook and Secret without storing them.
func (h *webhookCreator) dryRunCreate(ctx context.Context, webhook *v1alpha1.Webhook, secret signature.Secret) error {
	if err := h.callerClient.Create(ctx, webhook.DeepCopy(), client.DryRunAll, client.FieldOwner(fieldManager)); err != nil {
		return h.createWebhookProblem(err, webhook.Name)
	}
	object := signingsecret.NewSecret(webhook, secret)
	object.OwnerReferences = nil // its owner has no uid yet
	if err := h.callerClient.Create(ctx, object, client.DryRunAll, client.FieldOwner(fieldManager)); err != nil {
		return createSecretProblem(err, object.Name)
	}
	return nil
}

func (h *webhookCreator) createSecret(ctx context.Context, webhook *v1alpha1.Webhook, secret signature.Secret) error {
	object := signingsecret.NewSecret(webhook, secret)
	err := h.callerClient.Create(ctx, object, client.FieldOwner(fieldManager))
	if denial.IsAlreadyExists(err) { // by a controller with a wrong clock, which did not wait
		var existing corev1.Secret
		if h.readSecretToRotate(ctx, client.ObjectKeyFromObject(object), &existing) == nil && metav1.IsControlledBy(&existing, webhook) {
			existing.Data = object.Data
			err = h.callerClient.Update(ctx, &existing, client.FieldOwner(fieldManager))
		}
	}
	if err != nil {
		return createSecretProblem(err, object.Name)
	}
	return nil
}

// undoCreate deletes a Webhook whose Secret could not be created.
func (h *webhookCreator) undoCreate(ctx context.Context, webhook *v1alpha1.Webhook, cause error) error {
	err := h.callerClient.Delete(ctx, webhook, client.Preconditions{UID: &webhook.UID}, client.PropagationPolicy(metav1.DeletePropagationBackground))
	if err == nil || denial.IsNotFound(err) {
		h.webhooks.ApplyDelete(client.ObjectKeyFromObject(webhook), webhook.UID)
		return cause
	}
	p, ok := errors.AsType[*problem](cause)
	if !ok {
		return cause
	}
	h.webhooks.ApplyWrite(webhook)
	p.Detail += fmt.Sprintf("; the webhook %q could not be taken back (%s), a secret will be made for it: delete it, or use rotate-secret", webhook.Name, store.WebhookID(webhook))
	p.cause = errors.Join(p.cause, err)
	return p
}

func (h *webhookCreator) createWebhookProblem(err error, name string) error {
	if denial.IsAlreadyExists(err) {
		return newFieldProblem(http.StatusConflict, reasonAlreadyExists, "name", fmt.Sprintf("a webhook %q exists already; choose another name", name))
	}
	return problemFromAPI(err, "creating the webhook")
}

// createSecretProblem explains why a signing Secret cannot be written.
func createSecretProblem(err error, name string) error {
	if denial.IsAlreadyExists(err) {
		return newFieldProblem(http.StatusConflict, reasonAlreadyExists, "name", fmt.Sprintf("a Secret %q exists already, which the webhook would sign with; choose another name", name))
	}
	p := problemFromAPI(err, "storing the secret")
	switch denial.KindOf(err) {
	case denial.Role:
		if p.Status == http.StatusForbidden {
			p.Detail += "; the signing secret is kept in a Secret, and the role bbmcp-editor gives that right"
		}
	case denial.Object: // the Secret's fields are not in the request
		p = newProblem(http.StatusUnprocessableEntity, v1alpha1.ReasonSecretRefused, "storing the secret is refused: "+denialText(err))
	}
	return p
}
