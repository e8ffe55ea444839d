// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
	"bbmcp.quietstack.com/webhooks/internal/text"
)

// emitEvents emits Kubernetes Events on the Webhook for changes of its status. The
// event recorder limits the rate.
func (r *WebhookReconciler) emitEvents(webhook *v1alpha1.Webhook, before, after *v1alpha1.WebhookStatus) {
	r.emitStateEvents(webhook, before, after)
	was, is := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionReady), meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionReady)
	if is != nil && is.Status == "False" && is.Reason != v1alpha1.ReasonDisabled && (was == nil || was.Reason != is.Reason) {
		r.emitEvent(webhook, corev1.EventTypeWarning, is.Reason, "Check", is.Message)
	}
	if full := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionBacklogFull); full != nil && full.Status == "True" {
		if was := meta.FindStatusCondition(before.Conditions, v1alpha1.ConditionBacklogFull); was == nil || was.Status != "True" {
			r.emitEvent(webhook, corev1.EventTypeWarning, full.Reason, "Collect", full.Message)
		}
	}
	if before.LastHandledRotateAt == after.LastHandledRotateAt {
		return
	}
	if signingsecret.IsGenerated(webhook) {
		r.emitEvent(webhook, corev1.EventTypeNormal, "SecretRotated", "Rotate", "the signing secret was rotated; both secrets sign until the overlap ends")
		return
	}
	r.emitEvent(webhook, corev1.EventTypeWarning, "RotateRefused", "Rotate",
		"the signing secret is kept by its owner: put the new value into the key of spec.signing.secretRef and the old one into the key previous")
}

// emitDeletedEarly emits an event for failed deliveries that were deleted before their
// time.
func (r *WebhookReconciler) emitDeletedEarly(webhook *v1alpha1.Webhook, seen observation) {
	if seen.deletedEarly == 0 {
		return
	}
	flags := map[bound]string{
		boundCount: "--retain-count, or spec.retention.maxCount", boundBytes: "--retain-bytes",
		boundNamespace: "--retain-count-per-namespace and --retain-bytes-per-namespace", boundTotal: "--retain-count-total and --retain-bytes-total",
	}
	r.emitEvent(webhook, corev1.EventTypeWarning, "FailedDeliveriesDeleted", "Retain", fmt.Sprintf(
		"%d failed deliveries were deleted before their time, the oldest first, to keep within the operator's bounds (%s); "+
			"status.deliveriesDeletedEarly counts them", seen.deletedEarly, flags[seen.exceeded]))
}

// emitEmptyRequests emits one event for a request by annotation with an empty value: the
// value often comes from a command that failed.
func (r *WebhookReconciler) emitEmptyRequests(webhook *v1alpha1.Webhook) {
	for _, annotation := range []string{v1alpha1.EnableRequestedAtAnnotation, v1alpha1.RotateRequestedAtAnnotation} {
		about := emptyRequestKey{client.ObjectKeyFromObject(webhook), annotation}
		if !isEmptyRequest(webhook.Annotations, annotation) {
			r.emptyReported.Delete(about)
			continue
		}
		if _, isTold := r.emptyReported.LoadOrStore(about, true); !isTold {
			r.emitEvent(webhook, corev1.EventTypeWarning, "RequestEmpty", "Check", emptyRequestMessage(annotation))
		}
	}
}

// emptyRequestKey names an annotation of a webhook whose empty value was reported.
type emptyRequestKey struct {
	webhook    types.NamespacedName
	annotation string
}

// isEmptyRequest reports whether an annotation is present with an empty value.
func isEmptyRequest(annotations map[string]string, name string) bool {
	value, isThere := annotations[name]
	return isThere && value == ""
}

// emptyRequestMessage says what is wrong with a request by an empty annotation.
func emptyRequestMessage(annotation string) string {
	return "the annotation " + annotation + " is empty, so nothing is done; give it a value that it has not had, such as the time"
}

func (r *WebhookReconciler) emitStateEvents(webhook *v1alpha1.Webhook, before, after *v1alpha1.WebhookStatus) {
	healthy := meta.FindStatusCondition(after.Conditions, v1alpha1.ConditionEndpointHealthy)
	recovered := healthy != nil && healthy.Status == metav1.ConditionTrue
	if before.State == after.State {
		switch {
		case startsFailing(before, after):
			r.emitEvent(webhook, corev1.EventTypeWarning, healthy.Reason, "Deliver", healthy.Message)
		case showsAttemptsFailing(before) && recovered:
			r.emitEvent(webhook, corev1.EventTypeNormal, "Recovered", "Deliver", "deliveries succeed again")
		}
		return
	}
	switch after.State {
	case v1alpha1.WebhookDisabled:
		r.emitEvent(webhook, corev1.EventTypeWarning, healthy.Reason, "Disable",
			healthy.Message+"; nothing more is sent until spec.url changes or the webhook is enabled")
	case v1alpha1.WebhookFailing:
		r.emitEvent(webhook, corev1.EventTypeWarning, healthy.Reason, "Deliver", healthy.Message)
	case v1alpha1.WebhookActive:
		switch {
		case before.State == v1alpha1.WebhookFailing && recovered:
			r.emitEvent(webhook, corev1.EventTypeNormal, "Recovered", "Deliver", "deliveries succeed again")
		case before.State == v1alpha1.WebhookFailing:
			r.emitEvent(webhook, corev1.EventTypeNormal, "FailuresForgotten", "Deliver",
				"the url or the signing has changed, or somebody asked to enable the webhook: earlier failures no longer count, and nothing has succeeded yet")
		case before.State == v1alpha1.WebhookDisabled:
			r.emitEvent(webhook, corev1.EventTypeNormal, "Enabled", "Enable", "the webhook was enabled; waiting deliveries go out")
		}
	}
}

func (r *WebhookReconciler) emitEvent(webhook *v1alpha1.Webhook, kind, reason, action, note string) {
	r.Recorder.Eventf(webhook, nil, kind, reason, action, "%s", text.Truncate(note, 1000))
}
