// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
	"bbmcp.quietstack.com/webhooks/gateway/auth"
	"bbmcp.quietstack.com/webhooks/internal/denial"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

// Reasons of problems with signing secrets. They are API: never reworded.
const (
	reasonSecretUserManaged  = "SecretUserManaged"
	reasonSecretNotPermitted = "SecretNotPermitted"
	reasonKeyUsed            = "IdempotencyKeyUsed"
)

// RotateSecret is a request for a new signing secret.
type RotateSecret struct {
	WebhookPath

	Key string `header:"Idempotency-Key" pattern:"^[!-~]{1,128}$" doc:"Names this rotation: repeating it with the same key answers with the same secret and does not rotate again"`
}

func (h *webhookRotator) registerWebhookRotate(api huma.API) {
	huma.Register(api, huma.Operation{
		OperationID: "rotate-secret", Method: http.MethodPost, Path: "/v1/webhooks/{id}/rotate-secret", Tags: []string{"Webhooks"},
		Summary: "Replace the signing secret",
		Description: "The answer holds the new secret, once. The old one signs beside it for spec.signing.overlap (24 h). Done with the caller's own token: needs " +
			"the right to patch webhooks and to update secrets. 409 for a Secret that its owner manages (spec.signing.secretRef).",
	}, h.rotateSecret)
}

func (h *webhookRotator) rotateSecret(ctx context.Context, in *RotateSecret) (*secretAnswer, error) {
	caller, cached, err := h.findPermittedWebhook(ctx, &in.WebhookPath, "patch")
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	live, err := h.readLiveWebhook(ctx, client.ObjectKeyFromObject(cached))
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	if !signingsecret.IsGenerated(live.webhook) {
		return nil, failWithProblem(ctx, newProblem(http.StatusConflict, reasonSecretUserManaged, fmt.Sprintf(
			"the webhook signs with the Secret %q, which its owner manages: put the new value there, and the old one into its key previous", live.webhook.Spec.Signing.SecretRef.Name)))
	}
	request := in.Key
	if request == "" {
		request = h.now().UTC().Format(time.RFC3339Nano)
	}
	secret, err := h.rotateSecretOnce(ctx, live.webhook, rotationRequest(caller, request))
	if err != nil {
		return nil, failWithProblem(ctx, err)
	}
	return h.answerSecret(live.webhook, secret), nil
}

// rotationRequest is the caller's key as it is stored on the Webhook, readable by all who
// may read that. It contains a hash of the caller's name, so that the key of another
// caller reveals no secret.
func rotationRequest(caller *auth.Caller, key string) string {
	digest := sha256.Sum256([]byte(caller.Name()))
	return fmt.Sprintf("%s/%x", key, digest[:8])
}

// rotateSecretOnce rotates the secret once for a request, however many callers rotate at
// the same time. The caller's rights are tried in a dry run; then the request is written
// on the Webhook, so that the controller completes it after a crash, and the Secret is
// read again; then the Secret is changed, unless the controller has done so.
func (h *webhookRotator) rotateSecretOnce(ctx context.Context, webhook *v1alpha1.Webhook, request string) (string, error) {
	secret, answered, err := h.answerRotation(ctx, webhook, request, notRequested)
	if answered || err != nil {
		return secret, err
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), completionTimeout)
	defer cancel()
	if _, err := h.requestByAnnotation(ctx, webhook, v1alpha1.RotateRequestedAtAnnotation, request); err != nil {
		return "", err
	}
	secret, _, err = h.answerRotation(ctx, webhook, request, requested)
	return secret, err
}

// rotationStage says whether the request is on the Webhook. Before that nothing is stored.
// From then on the controller may answer it, and another rotation may follow before the
// gateway sees the first; the caller then gets the secret that still signs in addition to
// the newer one.
type rotationStage bool

const (
	notRequested rotationStage = false
	requested    rotationStage = true
)

// answerRotation returns the secret of a request, and rotates if there is none yet.
// answered: there was one.
func (h *webhookRotator) answerRotation(ctx context.Context, webhook *v1alpha1.Webhook, request string, stage rotationStage) (secret string, answered bool, err error) {
	for range maxChangeTries {
		stored, err := h.readSigningSecret(ctx, webhook)
		if err != nil {
			return "", false, err
		}
		isKnown, latest := signingsecret.RotationAnswered(stored, request)
		switch {
		case latest:
			return string(stored.Data[v1alpha1.SecretKey]), true, nil
		case isKnown && stage == requested && signingsecret.OvertakenSecret(stored, request) != "":
			return signingsecret.OvertakenSecret(stored, request), true, nil
		case isKnown:
			return "", false, newFieldProblem(http.StatusConflict, reasonKeyUsed, "header.Idempotency-Key", "this key stands for a rotation that another one has followed; use a new key")
		}
		err = h.writeRotatedSecret(ctx, webhook, stored, request, stage)
		if errors.Is(err, errModified) {
			continue
		}
		return string(stored.Data[v1alpha1.SecretKey]), false, err
	}
	return "", false, contendedProblem()
}

// writeRotatedSecret rotates a Secret as it was read, or creates it.
func (h *webhookRotator) writeRotatedSecret(ctx context.Context, webhook *v1alpha1.Webhook, stored *corev1.Secret, request string, stage rotationStage) error {
	create, update := []client.CreateOption{client.FieldOwner(fieldManager)}, []client.UpdateOption{client.FieldOwner(fieldManager)}
	if stage == notRequested {
		create, update = append(create, client.DryRunAll), append(update, client.DryRunAll)
	}
	var err error
	if stored.ResourceVersion == "" {
		if err := signingsecret.MarkRotationAnswered(stored, request); err != nil {
			return err
		}
		err = h.callerClient.Create(ctx, stored, create...)
	} else {
		if _, err := signingsecret.Rotate(stored, webhook, request, h.now(), h.random); err != nil {
			return err
		}
		err = h.callerClient.Update(ctx, stored, update...)
	}
	if denial.IsConflict(err) || denial.IsAlreadyExists(err) || denial.IsNotFound(err) {
		return errModified
	}
	if err != nil {
		return createSecretProblem(err, stored.Name)
	}
	return nil
}

// readSigningSecret reads the generated Secret of a webhook for a caller who may replace
// it; if there is none, it returns a new one.
func (h *webhookRotator) readSigningSecret(ctx context.Context, webhook *v1alpha1.Webhook) (*corev1.Secret, error) {
	key := types.NamespacedName{Namespace: webhook.Namespace, Name: signingsecret.SecretName(webhook)}
	if err := h.requireRight(ctx, auth.CallerFrom(ctx), auth.Right{Verb: "update", Resource: auth.Secrets, Namespace: key.Namespace, Name: key.Name}); err != nil {
		return nil, err
	}
	var stored corev1.Secret
	err := h.readSecretToRotate(ctx, key, &stored)
	if apierrors.IsNotFound(err) {
		value, err := signature.GenerateSecret(h.random)
		if err != nil {
			return nil, err
		}
		return signingsecret.NewSecret(webhook, value), nil
	}
	if err != nil {
		return nil, rotateSecretProblem(err)
	}
	if !metav1.IsControlledBy(&stored, webhook) {
		return nil, newProblem(http.StatusConflict, reasonSecretNotPermitted,
			fmt.Sprintf("the Secret %q was not made for this webhook; delete it, and one is made", key.Name))
	}
	return &stored, nil
}

// readSecretToRotate reads a Secret that is about to be replaced. It uses the gateway's right,
// because roles let callers write Secrets but not read them; where the operator gives the
// gateway no such right, it uses the caller's.
func (h *webhookChanger) readSecretToRotate(ctx context.Context, key types.NamespacedName, into *corev1.Secret) error {
	err := h.client.Get(ctx, key, into)
	if apierrors.IsForbidden(err) {
		return h.callerClient.Get(ctx, key, into)
	}
	return err
}

// rotateSecretProblem explains why a signing Secret cannot be read.
func rotateSecretProblem(err error) error {
	p := problemFromAPI(err, "reading the secret")
	if apierrors.IsForbidden(err) {
		p.Detail += "; it is read before it is replaced, which takes this right, or that of the gateway by the role bbmcp-gateway-signing"
	}
	return p
}
