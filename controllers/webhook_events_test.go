// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

func TestEventsForChangesOfTheState(t *testing.T) {
	status := func(state v1alpha1.WebhookState, healthy metav1.ConditionStatus, reason string) *v1alpha1.WebhookStatus {
		return &v1alpha1.WebhookStatus{State: state, Conditions: []metav1.Condition{
			{Type: v1alpha1.ConditionEndpointHealthy, Status: healthy, Reason: reason, Message: "it says why"},
		}}
	}
	const yes, no, unknown = metav1.ConditionTrue, metav1.ConditionFalse, metav1.ConditionUnknown
	fresh := status(v1alpha1.WebhookActive, unknown, v1alpha1.ReasonNoDeliveries)
	well := status(v1alpha1.WebhookActive, yes, v1alpha1.ReasonDelivering)
	attempts := status(v1alpha1.WebhookActive, no, v1alpha1.ReasonAttemptsFailing)
	failing := status(v1alpha1.WebhookFailing, no, v1alpha1.ReasonDeliveriesFailing)
	disabled := status(v1alpha1.WebhookDisabled, no, v1alpha1.ReasonEndpointGone)
	tests := []struct {
		name          string
		before, after *v1alpha1.WebhookStatus
		want          string // type, reason and text of the Event; "": there is none
	}{
		{"the first success", fresh, well, ""},
		{"attempts begin to fail", well, attempts, "Warning AttemptsFailing it says why"},
		{"attempts fail from the beginning", fresh, attempts, "Warning AttemptsFailing it says why"},
		{"attempts go on failing", attempts, attempts, ""},
		{"a success after failed attempts", attempts, well, "Normal Recovered deliveries succeed again"},
		{"another url after failed attempts", attempts, fresh, ""},
		{"a delivery fails for good", attempts, failing, "Warning DeliveriesFailing it says why"},
		{"a success after a failed delivery", failing, well, "Normal Recovered deliveries succeed again"},
		{"another url after a failed delivery", failing, fresh, "Normal FailuresForgotten the url or the signing has changed"},
		{"another url, and attempts fail there", failing, attempts, "Normal FailuresForgotten the url or the signing has changed"},
		{"disabled", failing, disabled, "Warning EndpointGone it says why; nothing more is sent"},
		{"enabled", disabled, fresh, "Normal Enabled the webhook was enabled"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			recorder := events.NewFakeRecorder(8)
			(&WebhookReconciler{Recorder: recorder}).emitEvents(someWebhook(), tt.before, tt.after)
			close(recorder.Events)
			var got []string
			for event := range recorder.Events {
				got = append(got, event)
			}
			if tt.want == "" && len(got) > 0 || tt.want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], tt.want)) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// A request by an empty annotation is answered, once for each time that it is made.
func TestEmptyRequestsAreReportedOnce(t *testing.T) {
	recorder := events.NewFakeRecorder(8)
	r := &WebhookReconciler{Recorder: recorder}
	for _, annotations := range []map[string]string{
		nil,
		{v1alpha1.EnableRequestedAtAnnotation: ""}, {v1alpha1.EnableRequestedAtAnnotation: ""}, // told once
		{v1alpha1.EnableRequestedAtAnnotation: "now"},
		{v1alpha1.EnableRequestedAtAnnotation: ""}, // and again
		{v1alpha1.EnableRequestedAtAnnotation: "", v1alpha1.RotateRequestedAtAnnotation: ""},
	} {
		r.emitEmptyRequests(someWebhook(func(w *v1alpha1.Webhook) { w.Annotations = annotations }))
	}
	close(recorder.Events)
	var got []string
	for event := range recorder.Events {
		got = append(got, strings.Join(strings.Fields(event)[:5], " "))
	}
	same(t, got, []string{
		"Warning RequestEmpty the annotation " + v1alpha1.EnableRequestedAtAnnotation,
		"Warning RequestEmpty the annotation " + v1alpha1.EnableRequestedAtAnnotation,
		"Warning RequestEmpty the annotation " + v1alpha1.RotateRequestedAtAnnotation,
	})
}
