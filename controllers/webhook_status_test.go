// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/prometheus/client_golang/prometheus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
	"bbmcp.quietstack.com/webhooks/internal/health"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
	"bbmcp.quietstack.com/webhooks/internal/skipped"
)

// someBounds are those of the manager.
var someBounds = backlogQuota{unfinished: 2000, fullFor: 5 * time.Minute}

// kstatusOf is what tools that wait for objects make of this one.
func kstatusOf(t *testing.T, webhook *v1alpha1.Webhook) status.Status {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(webhook)
	if err != nil {
		t.Fatal(err)
	}
	result, err := status.Compute(&unstructured.Unstructured{Object: content})
	if err != nil {
		t.Fatal(err)
	}
	return result.Status
}

// goodScope is that of a Webhook that nothing is wrong with, looked at first.
func goodScope() *webhookScope {
	return &webhookScope{
		webhook:    someWebhook(func(w *v1alpha1.Webhook) { w.Generation = 3 }),
		now:        at(0),
		secrets:    signingsecret.Secrets{Current: signature.NewSecret(newSecret)},
		urlChecked: true,
	}
}

func TestKstatusBeforeItIsSeen(t *testing.T) {
	webhook := someWebhook()
	webhook.Status.ObservedGeneration = -1 // the default
	same(t, kstatusOf(t, webhook), status.InProgressStatus)
	webhook.Status = *nextWebhookStatus(goodScope(), NewObservations(0, time.Now), someBounds)
	webhook.Generation = 4 // changed since
	same(t, kstatusOf(t, webhook), status.InProgressStatus)
}

func TestNextWebhookStatus(t *testing.T) {
	type verdict struct {
		State      v1alpha1.WebhookState
		Conditions []string
		Kstatus    status.Status
	}
	// conditions are those of a good webhook, but for some.
	conditions := func(others ...string) []string {
		all := []string{"BacklogFull=False BacklogBelowLimit", "EndpointHealthy=Unknown NoDeliveries", "EventTypesRegistered=True AllRegistered", "Ready=True Ready"}
		for _, other := range others {
			name, _, _ := strings.Cut(other, "=")
			all = slices.DeleteFunc(all, func(s string) bool { return strings.HasPrefix(s, name+"=") })
			all = append(all, other)
		}
		slices.Sort(all)
		return all
	}
	observe := func(outcomes ...health.Outcome) func(*webhookScope, *Observations) {
		return func(s *webhookScope, o *Observations) {
			for i, outcome := range outcomes {
				o.DeliveryFinished(s.webhook, outcome, at(-time.Duration(len(outcomes)-i)*time.Second), true)
			}
		}
	}
	problem := func(reason string) func(*webhookScope, *Observations) {
		return func(s *webhookScope, _ *Observations) {
			s.secrets, s.signingProblem = signingsecret.Secrets{}, &signingsecret.Problem{Reason: reason, Message: "it says why"}
		}
	}
	follows := func(age time.Duration) func(*webhookScope, *Observations) {
		return func(s *webhookScope, _ *Observations) {
			s.webhook.CreationTimestamp = metav1.NewTime(s.now.Add(-age))
			s.webhook.Annotations = map[string]string{v1alpha1.SecretFollowsAnnotation: "true"}
		}
	}
	was := func(state v1alpha1.WebhookState, reason string) func(*webhookScope, *Observations) {
		return func(s *webhookScope, _ *Observations) {
			s.webhook.Status.State, s.webhook.Status.LastFailureTime, s.webhook.Status.FailingSinceTime = state, micro(-hour), micro(-200*hour)
			s.webhook.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionEndpointHealthy, Status: metav1.ConditionFalse, Reason: reason}}
		}
	}
	attempts := func(began time.Duration) func(*webhookScope, *Observations) {
		return func(s *webhookScope, _ *Observations) {
			s.unfinished.add(retrying(began), s.webhook, timeOf(s.webhook.Status.LastSuccessTime))
		}
	}
	succeeded := func(when time.Duration) func(*webhookScope, *Observations) {
		return func(s *webhookScope, _ *Observations) {
			s.webhook.Status.State, s.webhook.Status.LastSuccessTime = v1alpha1.WebhookActive, micro(when)
		}
	}
	saidSo := func(s *webhookScope, _ *Observations) {
		s.webhook.Status.Conditions = []metav1.Condition{{
			Type: v1alpha1.ConditionEndpointHealthy, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonAttemptsFailing,
			LastTransitionTime: metav1.NewTime(at(-hour)),
		}}
	}
	suspended := func(s *webhookScope, _ *Observations) { s.webhook.Spec.Suspend = true }
	const active, failing, disabled = v1alpha1.WebhookActive, v1alpha1.WebhookFailing, v1alpha1.WebhookDisabled
	tests := []struct {
		name   string
		change []func(*webhookScope, *Observations)
		want   verdict
	}{
		{"new", nil, verdict{active, conditions(), status.CurrentStatus}},
		{"deliveries succeed", []func(*webhookScope, *Observations){observe(health.Failed, health.Succeeded)},
			verdict{active, conditions("EndpointHealthy=True Delivering"), status.CurrentStatus}},
		{"an endpoint that is down leaves it ready", []func(*webhookScope, *Observations){observe(health.Succeeded, health.Failed)},
			verdict{failing, conditions("EndpointHealthy=False DeliveriesFailing"), status.CurrentStatus}},
		{"attempts fail, but not for long", []func(*webhookScope, *Observations){succeeded(-hour), attempts(-19 * second)},
			verdict{active, conditions("EndpointHealthy=True Delivering"), status.CurrentStatus}},
		{"attempts have failed for 20 s, and no delivery for good", []func(*webhookScope, *Observations){succeeded(-hour), attempts(-20 * second)},
			verdict{active, conditions("EndpointHealthy=False AttemptsFailing"), status.CurrentStatus}},
		{"attempts have failed for a minute, and one succeeded since", []func(*webhookScope, *Observations){succeeded(-10 * second), attempts(-minute)},
			verdict{active, conditions("EndpointHealthy=True Delivering"), status.CurrentStatus}},
		{"attempts that failed at the former url", []func(*webhookScope, *Observations){succeeded(-hour), attempts(-minute), func(s *webhookScope, _ *Observations) { s.enabled, s.endpointMoved = true, true }},
			verdict{active, conditions(), status.CurrentStatus}},
		{"attempts failed before it was suspended", []func(*webhookScope, *Observations){succeeded(-hour), attempts(-minute), suspended},
			verdict{active, conditions("EndpointHealthy=True Delivering", "Ready=True Suspended"), status.CurrentStatus}},
		{"failing attempts, then suspended", []func(*webhookScope, *Observations){succeeded(-2 * hour), saidSo, attempts(-minute), suspended},
			verdict{active, conditions("EndpointHealthy=False AttemptsFailing", "Ready=True Suspended"), status.CurrentStatus}},
		{"failing attempts, by a new process that has not read them yet", []func(*webhookScope, *Observations){succeeded(-2 * hour), saidSo, func(s *webhookScope, _ *Observations) { s.unfinished.partial = true }},
			verdict{active, conditions("EndpointHealthy=False AttemptsFailing"), status.CurrentStatus}},
		{"a success seen by a new process that has not read all yet", []func(*webhookScope, *Observations){succeeded(-second), saidSo, func(s *webhookScope, _ *Observations) { s.unfinished.partial = true }},
			verdict{active, conditions("EndpointHealthy=True Delivering"), status.CurrentStatus}},
		{"410", []func(*webhookScope, *Observations){observe(health.Gone)},
			verdict{disabled, conditions("EndpointHealthy=False EndpointGone", "Ready=False Disabled", "Stalled=True Disabled"), status.FailedStatus}},
		{"failing for too long", []func(*webhookScope, *Observations){was(failing, v1alpha1.ReasonDeliveriesFailing), observe(health.Failed)},
			verdict{disabled, conditions("EndpointHealthy=False FailingTooLong", "Ready=False Disabled", "Stalled=True Disabled"), status.FailedStatus}},
		{"disabled stays so, with its reason", []func(*webhookScope, *Observations){was(disabled, v1alpha1.ReasonEndpointGone)},
			verdict{disabled, conditions("EndpointHealthy=False EndpointGone", "Ready=False Disabled", "Stalled=True Disabled"), status.FailedStatus}},
		{"disabled by time stays so, with its reason", []func(*webhookScope, *Observations){was(disabled, v1alpha1.ReasonFailingTooLong), observe(health.Failed)},
			verdict{disabled, conditions("EndpointHealthy=False FailingTooLong", "Ready=False Disabled", "Stalled=True Disabled"), status.FailedStatus}},
		{"enabled again", []func(*webhookScope, *Observations){was(disabled, v1alpha1.ReasonEndpointGone), func(s *webhookScope, _ *Observations) { s.enabled = true }},
			verdict{active, conditions(), status.CurrentStatus}},
		{"suspended", []func(*webhookScope, *Observations){func(s *webhookScope, _ *Observations) { s.webhook.Spec.Suspend = true }},
			verdict{active, conditions("Ready=True Suspended"), status.CurrentStatus}},
		{"suspended and disabled", []func(*webhookScope, *Observations){func(s *webhookScope, _ *Observations) { s.webhook.Spec.Suspend = true }, observe(health.Gone)},
			verdict{disabled, conditions("EndpointHealthy=False EndpointGone", "Ready=False Disabled", "Stalled=True Disabled"), status.FailedStatus}},
		{"secret missing: it may come", []func(*webhookScope, *Observations){problem(v1alpha1.ReasonSecretNotFound)},
			verdict{active, conditions("Ready=False SecretNotFound", "Reconciling=True Progressing"), status.InProgressStatus}},
		{"secret missing that its author is about to create", []func(*webhookScope, *Observations){problem(v1alpha1.ReasonSecretNotFound), follows(29 * second)},
			verdict{active, conditions("Ready=Unknown Progressing", "Reconciling=True Progressing"), status.InProgressStatus}},
		{"secret missing that its author has never created", []func(*webhookScope, *Observations){problem(v1alpha1.ReasonSecretNotFound), follows(30 * second)},
			verdict{active, conditions("Ready=False SecretNotFound", "Reconciling=True Progressing"), status.InProgressStatus}},
		{"secret invalid", []func(*webhookScope, *Observations){problem(v1alpha1.ReasonSecretInvalid)},
			verdict{active, conditions("Ready=False SecretInvalid", "Stalled=True SecretInvalid"), status.FailedStatus}},
		{"secret not permitted", []func(*webhookScope, *Observations){problem(v1alpha1.ReasonSecretNotPermitted)},
			verdict{active, conditions("Ready=False SecretNotPermitted", "Stalled=True SecretNotPermitted"), status.FailedStatus}},
		{"URL forbidden", []func(*webhookScope, *Observations){func(s *webhookScope, _ *Observations) {
			s.urlProblem = &dispatcher.URLError{Reason: dispatcher.ReasonAddressForbidden, Message: "a private address"}
		}}, verdict{active, conditions("Ready=False URLForbidden", "Stalled=True URLForbidden"), status.FailedStatus}},
		{"dispatcher away, never checked", []func(*webhookScope, *Observations){func(s *webhookScope, _ *Observations) { s.urlChecked = false }},
			verdict{active, conditions("Ready=Unknown Progressing", "Reconciling=True Progressing"), status.InProgressStatus}},
		{"dispatcher away, this spec checked before", []func(*webhookScope, *Observations){func(s *webhookScope, _ *Observations) {
			s.urlChecked, s.webhook.Status.ObservedGeneration = false, 3
			s.webhook.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady}}
		}}, verdict{active, conditions(), status.CurrentStatus}},
		{"dispatcher away, another spec checked before", []func(*webhookScope, *Observations){func(s *webhookScope, _ *Observations) {
			s.urlChecked, s.webhook.Status.ObservedGeneration = false, 2
			s.webhook.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonReady}}
		}}, verdict{active, conditions("Ready=Unknown Progressing", "Reconciling=True Progressing"), status.InProgressStatus}},
		{"stalled before, well now", []func(*webhookScope, *Observations){func(s *webhookScope, _ *Observations) {
			s.webhook.Status.Conditions = []metav1.Condition{
				{Type: v1alpha1.ConditionReady, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonSecretInvalid},
				{Type: v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonSecretInvalid},
			}
		}}, verdict{active, conditions(), status.CurrentStatus}},
		{"event types that nobody registered", []func(*webhookScope, *Observations){func(s *webhookScope, _ *Observations) { s.unregistered = []string{"a.b"} }},
			verdict{active, conditions("EventTypesRegistered=False NotRegistered"), status.CurrentStatus}},
		{"a full backlog", []func(*webhookScope, *Observations){func(s *webhookScope, _ *Observations) { s.unfinished.count = 2000 }},
			verdict{active, conditions("BacklogFull=True BacklogAtLimit"), status.CurrentStatus}},
		{"deliveries were skipped a moment ago", []func(*webhookScope, *Observations){func(s *webhookScope, o *Observations) {
			o.CountSkipped(s.webhook, skipped.Count{Full: 1, Last: at(-4 * minute)})
		}},
			verdict{active, conditions("BacklogFull=True DeliveriesSkipped"), status.CurrentStatus}},
		{"deliveries were skipped a while ago", []func(*webhookScope, *Observations){func(s *webhookScope, o *Observations) {
			o.CountSkipped(s.webhook, skipped.Count{Full: 1, Last: at(-5 * minute)})
		}},
			verdict{active, conditions(), status.CurrentStatus}},
		{"a former process has said so", []func(*webhookScope, *Observations){func(s *webhookScope, _ *Observations) {
			s.webhook.Status.LastSkippedTime = new(metav1.NewTime(at(-minute)))
			s.webhook.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionBacklogFull, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonDeliveriesSkipped}}
		}}, verdict{active, conditions("BacklogFull=True DeliveriesSkipped"), status.CurrentStatus}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := goodScope()
			o := NewObservations(120*hour, func() time.Time { return at(0) })
			for _, change := range tt.change {
				change(s, o)
			}
			s.observed = o.snapshot(s.webhook)
			got := nextWebhookStatus(s, o, someBounds)
			webhook := s.webhook.DeepCopy()
			webhook.Status = *got
			told := verdict{State: got.State, Kstatus: kstatusOf(t, webhook)}
			for _, c := range got.Conditions {
				told.Conditions = append(told.Conditions, c.Type+"="+string(c.Status)+" "+c.Reason)
				if c.Message == "" || c.ObservedGeneration != 3 {
					t.Errorf("condition %s: message %q, observed generation %d", c.Type, c.Message, c.ObservedGeneration)
				}
			}
			slices.Sort(told.Conditions)
			same(t, told, tt.want)
		})
	}
}

func TestNextWebhookStatusAsAWhole(t *testing.T) {
	s := goodScope()
	now := at(0)
	o := NewObservations(0, func() time.Time { return now })
	s.webhook.Annotations = map[string]string{v1alpha1.RotateRequestedAtAnnotation: "rotate-1", v1alpha1.EnableRequestedAtAnnotation: "enable-1"}
	s.rotated, s.enabled, s.unfinished.count = true, true, 7
	s.secrets.Previous, s.secrets.OverlapEnd = signature.NewSecret(oldSecret), at(24*hour+500*time.Millisecond)
	s.webhook.Status.DeliveriesSucceeded = 10
	o.DeliveryFinished(s.webhook, health.Failed, at(-2*second), true)
	o.DeliveryFinished(s.webhook, health.Succeeded, at(-second), true)
	o.HoldRetryAfter(s.webhook, at(90*second+time.Millisecond))
	s.observed = o.snapshot(s.webhook)
	condition := func(name string, value metav1.ConditionStatus, reason, message string) metav1.Condition {
		return metav1.Condition{Type: name, Status: value, Reason: reason, Message: message, ObservedGeneration: 3, LastTransitionTime: metav1.NewTime(at(0))}
	}
	want := &v1alpha1.WebhookStatus{
		ObservedGeneration: 3, WebhookID: "wh_644f7b8cf5aca6ae", State: v1alpha1.WebhookActive, EndpointRevision: signingsecret.EndpointRevision(s.webhook),
		LastSuccessTime: micro(-second), LastFailureTime: micro(-2 * second), EnabledTime: micro(0),
		DeliveriesSucceeded: 11, DeliveriesFailed: 1, DeliveriesPending: 7, RetryAfterTime: new(metav1.NewTime(at(91 * second))),
		Signing:             &v1alpha1.SigningStatus{SecretName: "orders-signing", OverlapEndTime: new(metav1.NewTime(at(24 * hour))), Primary: v1alpha1.SigningKeyPrevious},
		LastHandledRotateAt: "rotate-1", LastHandledEnableAt: "enable-1",
		Conditions: []metav1.Condition{
			condition("EndpointHealthy", "Unknown", "NoDeliveries", "no delivery has finished since the webhook was enabled or its endpoint changed"),
			condition("Ready", "True", "Ready", "deliveries are signed and sent"),
			condition("EventTypesRegistered", "True", "AllRegistered", "every event type is in the catalogue"),
			condition("BacklogFull", "False", "BacklogBelowLimit", "new events are accepted"),
		},
	}
	same(t, nextWebhookStatus(s, o, someBounds), want)

	// The next pass finds nothing to say, until the hold is over.
	o.acknowledge(s.webhook, s.observed)
	s.webhook.Status, s.enabled, s.observed = *want, false, o.snapshot(s.webhook)
	same(t, nextWebhookStatus(s, o, someBounds), want)
	now, s.now = at(91*second), at(91*second)
	want.RetryAfterTime = nil
	same(t, nextWebhookStatus(s, o, someBounds), want)
}

// What an endpoint asked for holds no other one.
func TestAChangedEndpointIsNotHeld(t *testing.T) {
	o := NewObservations(0, func() time.Time { return at(0) })
	r := &WebhookReconciler{Observations: o, Metrics: NewMetrics(prometheus.NewRegistry())}
	s := goodScope()
	s.webhook.Status.RetryAfterTime = new(metav1.NewTime(at(minute)))
	o.HoldRetryAfter(s.webhook, at(hour))
	s.enabled, s.endpointMoved, s.observed = true, true, o.snapshot(s.webhook)
	status := nextWebhookStatus(s, o, someBounds)
	same(t, status.RetryAfterTime, (*metav1.Time)(nil))
	r.account(s, status)
	s = goodScope()
	s.webhook.Status, s.observed = *status, o.snapshot(s.webhook)
	same(t, nextWebhookStatus(s, o, someBounds).RetryAfterTime, (*metav1.Time)(nil))

	o.HoldRetryAfter(s.webhook, at(2*hour)) // by the new one
	s.observed = o.snapshot(s.webhook)
	same(t, nextWebhookStatus(s, o, someBounds).RetryAfterTime, new(metav1.NewTime(at(2*hour))))
}

func TestWhatReenables(t *testing.T) {
	revision := signingsecret.EndpointRevision(someWebhook())
	tests := []struct {
		name   string
		change func(*v1alpha1.Webhook)
		want   bool
	}{
		{"nothing", func(*v1alpha1.Webhook) {}, false},
		{"its url", func(w *v1alpha1.Webhook) { w.Spec.URL = "https://example.com/other" }, true},
		{"its secret", func(w *v1alpha1.Webhook) { usesKeys(w) }, true},
		{"naming the same secret in other words", func(w *v1alpha1.Webhook) {
			w.Spec.Signing = &v1alpha1.Signing{SecretRef: &v1alpha1.SecretKeyReference{Name: "orders-signing", Key: "secret"}}
		}, false},
		{"its events and policy", func(w *v1alpha1.Webhook) { w.Spec.Events, w.Spec.RetryPolicy = []string{"a"}, delays() }, false},
		{"an overlap", func(w *v1alpha1.Webhook) { w.Spec.Signing = &v1alpha1.Signing{Overlap: duration(hour)} }, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			webhook := someWebhook(tt.change)
			same(t, endpointChanged(webhook), false) // not looked at before
			webhook.Status.EndpointRevision = revision
			same(t, endpointChanged(webhook), tt.want)
		})
	}
}
