// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"cmp"
	"encoding/json"
	"math"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/attempt"
	"bbmcp.quietstack.com/webhooks/internal/signingsecret"
)

// failedOnce is the status after a first attempt that got a 500.
func failedOnce() v1alpha1.WebhookDeliveryStatus {
	return v1alpha1.WebhookDeliveryStatus{
		State: v1alpha1.DeliveryRetrying, Attempts: 1, ResponseStatus: new(int32(500)), ErrorMessage: "it failed",
		LastAttemptTime: micro(0), NextAttemptTime: micro(5500 * time.Millisecond), NextAttempt: new(metav1.NewTime(at(6 * second))),
		AttemptLog: []v1alpha1.Attempt{{
			Number: 1, StartTime: *micro(0), DurationMilliseconds: 500, ResponseStatus: new(int32(500)), Reason: "HTTPStatus", Message: "it failed", Answer: "oops",
		}},
		Conditions: succeeded(metav1.ConditionUnknown, v1alpha1.ReasonRetryScheduled, "it failed", time.Second),
	}
}

// failure is the outcome that leads to it.
func failure() *attempt.Outcome {
	return &attempt.Outcome{Number: 1, Result: dispatcher.Result{
		StartedAt: at(0), Duration: 500 * time.Millisecond, StatusCode: 500, Reason: dispatcher.ReasonHTTPStatus, Message: "it failed", Snippet: "oops",
	}}
}

func TestNextDeliveryStatus(t *testing.T) {
	pending := func(reason, message string) v1alpha1.WebhookDeliveryStatus {
		return v1alpha1.WebhookDeliveryStatus{State: v1alpha1.DeliveryPending, Conditions: succeeded(metav1.ConditionUnknown, reason, message, second)}
	}
	failed := func(reason, message string) v1alpha1.WebhookDeliveryStatus {
		return v1alpha1.WebhookDeliveryStatus{
			State: v1alpha1.DeliveryFailed, ErrorMessage: message, CompletionTime: micro(second),
			Conditions: succeeded(metav1.ConditionFalse, reason, message, second),
		}
	}
	tests := []struct {
		name   string
		change func(*deliveryScope)
		want   v1alpha1.WebhookDeliveryStatus
	}{
		{"nothing has happened", func(*deliveryScope) {}, v1alpha1.WebhookDeliveryStatus{}},
		{"an attempt failed", func(s *deliveryScope) { s.phase, s.outcome = attempt.Finished, failure() }, failedOnce()},
		{"an attempt succeeded", func(s *deliveryScope) {
			s.phase = attempt.Finished
			s.outcome = &attempt.Outcome{Number: 1, Note: attemptNote{primary: v1alpha1.SigningKeyCurrent}, Result: dispatcher.Result{
				StartedAt: at(100 * time.Nanosecond), Duration: 1234567 * time.Microsecond, StatusCode: 204,
			}}
		}, v1alpha1.WebhookDeliveryStatus{
			State: v1alpha1.DeliverySucceeded, Attempts: 1, ResponseStatus: new(int32(204)), LastAttemptTime: micro(0), CompletionTime: micro(1234 * time.Millisecond),
			AttemptLog: []v1alpha1.Attempt{{Number: 1, StartTime: *micro(0), DurationMilliseconds: 1234, ResponseStatus: new(int32(204)), Primary: v1alpha1.SigningKeyCurrent}},
			Conditions: succeeded(metav1.ConditionTrue, v1alpha1.ReasonDelivered, "the endpoint accepted it", second),
		}},
		{"the gateway made the first attempt", func(s *deliveryScope) {
			s.delivery.Spec.FirstAttempt = &failedOnce().AttemptLog[0]
		}, failedOnce()},
		{"somebody wrote a first attempt that cannot be", func(s *deliveryScope) {
			s.delivery.Spec.FirstAttempt = &v1alpha1.Attempt{
				Number: math.MaxInt32, StartTime: metav1.NewMicroTime(time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)),
				DurationMilliseconds: math.MaxInt64, RetryAfterTime: micro(1e6 * hour), Reason: "HTTPStatus",
			}
		}, v1alpha1.WebhookDeliveryStatus{
			State: v1alpha1.DeliveryRetrying, Attempts: 1, LastAttemptTime: micro(second), NextAttemptTime: micro(hour + second), NextAttempt: new(metav1.NewTime(at(hour + second))),
			AttemptLog: []v1alpha1.Attempt{{Number: 1, StartTime: *micro(second), DurationMilliseconds: 30_000, RetryAfterTime: micro(hour + second), Reason: "HTTPStatus"}},
			Conditions: succeeded(metav1.ConditionUnknown, v1alpha1.ReasonRetryScheduled, "", second),
		}},
		{"the attempt has been recorded by somebody else", func(s *deliveryScope) {
			s.delivery.Status, s.phase, s.outcome = failedOnce(), attempt.Finished, failure()
		}, failedOnce()},
		{"no attempt was made because something holds it", func(s *deliveryScope) {
			s.phase, s.outcome = attempt.Finished, &attempt.Outcome{Number: 1, Err: errHeld}
		}, v1alpha1.WebhookDeliveryStatus{}},
		{"the payload breaks the form", func(s *deliveryScope) {
			s.phase, s.outcome = attempt.Finished, &attempt.Outcome{Number: 1, Err: &invalidPayload{v1alpha1.ReasonPayloadInvalid, "spec.payload: bad"}}
		}, failed(v1alpha1.ReasonPayloadInvalid, "spec.payload: bad")},
		{"the type is not the payload's", func(s *deliveryScope) {
			s.phase, s.outcome = attempt.Finished, &attempt.Outcome{Number: 1, Err: &invalidPayload{v1alpha1.ReasonEventTypeMismatch, "another"}}
		}, failed(v1alpha1.ReasonEventTypeMismatch, "another")},
		{"the webhook does not exist", func(s *deliveryScope) { s.webhook = nil },
			pending(v1alpha1.ReasonWebhookNotFound, `there is no Webhook "orders" in this namespace; waiting an hour for it`)},
		{"the webhook was made anew", func(s *deliveryScope) { s.webhook.UID = "webhook-2" },
			failed(v1alpha1.ReasonWebhookReplaced, `Webhook "orders" was deleted and made anew; this delivery was made for the old one`)},
		{"the deadline is over", func(s *deliveryScope) { s.webhook.Spec.DeliveryDeadline = duration(second) },
			failed(v1alpha1.ReasonDeadlineExceeded, "not delivered within 1s")},
		{"the deadline is over, but an attempt is in flight", func(s *deliveryScope) {
			s.webhook.Spec.DeliveryDeadline, s.phase = duration(second), attempt.UnderWay
		}, v1alpha1.WebhookDeliveryStatus{}},
		{"suspended", func(s *deliveryScope) { s.webhook.Spec.Suspend = true },
			pending(v1alpha1.ReasonWebhookSuspended, "spec.suspend of the webhook holds it; set it to false to go on")},
		{"disabled", func(s *deliveryScope) { s.disabled = true },
			pending(v1alpha1.ReasonWebhookDisabled, "the webhook is disabled; change its url or annotate it with bbmcp.quietstack.com/enable-requested-at")},
		{"without a secret", func(s *deliveryScope) { s.signingProblem = &signingsecret.Problem{Message: "no such Secret"} },
			pending(v1alpha1.ReasonSigningSecretUnavailable, "no such Secret")},
		{"a test event without a secret", func(s *deliveryScope) {
			s.delivery.Spec.Test, s.signingProblem = true, &signingsecret.Problem{Message: "no such Secret"}
		}, pending(v1alpha1.ReasonSigningSecretUnavailable, "no such Secret")},
		{"a test event of a suspended and disabled webhook", func(s *deliveryScope) {
			s.delivery.Spec.Test, s.webhook.Spec.Suspend, s.disabled = true, true, true
		}, v1alpha1.WebhookDeliveryStatus{}},
		{"held between attempts keeps when the next one is due", func(s *deliveryScope) {
			s.delivery.Status, s.webhook.Spec.Suspend = failedOnce(), true
		}, func() v1alpha1.WebhookDeliveryStatus {
			status := failedOnce()
			status.Conditions[0].Reason = v1alpha1.ReasonWebhookSuspended
			status.Conditions[0].Message = "spec.suspend of the webhook holds it; set it to false to go on"
			return status
		}()},
		{"released between attempts says again what comes", func(s *deliveryScope) {
			s.delivery.Status = failedOnce()
			s.delivery.Status.Conditions[0].Reason = v1alpha1.ReasonWebhookSuspended
		}, failedOnce()},
		{"the endpoint asked for an hour", askedForAnHour(""), hourAsked(hour, "")},
		{"a former endpoint asked for an hour: shows when the policy has it", askedForAnHour("former"), hourAsked(5500*time.Millisecond, "former")},
		{"a former endpoint asked for an hour, and it is due: is not written twice", func(s *deliveryScope) {
			askedForAnHour("former")(s)
			s.webhook.Spec.RetryPolicy = delays(0)
		}, hourAsked(hour, "former")},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := deliveryScope{delivery: someDelivery(), webhook: someWebhook(), now: at(second)}
			tt.change(&s)
			before := s.delivery.DeepCopy()
			got := nextDeliveryStatus(s)
			same(t, *got, tt.want)
			same(t, s.delivery, before) // the cached object is not touched
			s.delivery.Status = *got
			s.now = at(second + time.Millisecond)
			if s.outcome != nil && s.outcome.Err != nil { // the runner lets go of it
				s.outcome, s.phase = nil, attempt.None
			}
			same(t, nextDeliveryStatus(s), got) // what is written is not written again
		})
	}
}

func TestNextPlan(t *testing.T) {
	retrying := func(s *deliveryScope) { s.delivery.Status = failedOnce() }
	finished := func(state v1alpha1.DeliveryState) func(*deliveryScope) {
		return func(s *deliveryScope) { s.delivery.Status.State, s.delivery.Status.Attempts = state, 5 }
	}
	end := at(72 * hour)
	tests := []struct {
		name    string
		changes []func(*deliveryScope)
		want    plan
	}{
		{"new: start at once", nil, plan{start: true, number: 1, lookAgain: end}},
		{"queued: stay so", []func(*deliveryScope){func(s *deliveryScope) { s.phase = attempt.Queued }}, plan{number: 1, lookAgain: end}},
		{"in flight: its end wakes us", []func(*deliveryScope){func(s *deliveryScope) { s.phase = attempt.UnderWay }}, plan{}},
		{"not due yet: look then", []func(*deliveryScope){retrying}, plan{lookAgain: at(5500 * time.Millisecond)}},
		{"not due and queued: take it out", []func(*deliveryScope){retrying, func(s *deliveryScope) { s.phase = attempt.Queued }}, plan{withdraw: true, lookAgain: at(5500 * time.Millisecond)}},
		{"due: start", []func(*deliveryScope){retrying, func(s *deliveryScope) { s.now = at(5500 * time.Millisecond) }}, plan{start: true, number: 2, lookAgain: end}},
		{"asked for: start though not due", []func(*deliveryScope){retrying, func(s *deliveryScope) { asked("now")(s.delivery) }}, plan{start: true, number: 2, lookAgain: end}},
		{"the deadline comes before the next attempt", []func(*deliveryScope){retrying, func(s *deliveryScope) { s.webhook.Spec.DeliveryDeadline = duration(3 * second) }}, plan{lookAgain: at(3 * second)}},
		{"the endpoint asked for an hour: look then", []func(*deliveryScope){retrying, askedForAnHour("")}, plan{lookAgain: at(hour)}},
		{"a former endpoint asked for an hour: look when the policy says", []func(*deliveryScope){retrying, askedForAnHour("former")}, plan{lookAgain: at(5500 * time.Millisecond)}},
		{"a former endpoint asked for an hour, the policy has become shorter: start", []func(*deliveryScope){retrying, askedForAnHour("former"), func(s *deliveryScope) {
			s.webhook.Spec.RetryPolicy = delays()
		}}, plan{start: true, number: 2, lookAgain: end}},
		{"nobody knows which endpoint asked for an hour: look then", []func(*deliveryScope){retrying, askedForAnHour("former"), unknownEndpoint}, plan{lookAgain: at(hour)}},
		{"nobody knows, and the webhook was enabled since: look when the policy says", []func(*deliveryScope){retrying, askedForAnHour("former"), unknownEndpoint, func(s *deliveryScope) {
			s.webhook.Status.EnabledTime = micro(time.Millisecond)
		}}, plan{lookAgain: at(5500 * time.Millisecond)}},
		{"succeeded: nothing", []func(*deliveryScope){finished(v1alpha1.DeliverySucceeded)}, plan{}},
		{"failed: nothing", []func(*deliveryScope){finished(v1alpha1.DeliveryFailed)}, plan{}},
		{"failed while queued: take it out", []func(*deliveryScope){finished(v1alpha1.DeliveryFailed), func(s *deliveryScope) { s.phase = attempt.Queued }}, plan{withdraw: true}},
		{"failed and asked for: one more", []func(*deliveryScope){finished(v1alpha1.DeliveryFailed), func(s *deliveryScope) { asked("now")(s.delivery) }}, plan{start: true, number: 6}},
		{"suspended and queued: take it out", []func(*deliveryScope){func(s *deliveryScope) { s.phase, s.webhook.Spec.Suspend = attempt.Queued, true }}, plan{withdraw: true, lookAgain: end}},
		{"no webhook: look at the end of the hour", []func(*deliveryScope){func(s *deliveryScope) { s.webhook = nil }}, plan{lookAgain: at(hour)}},
		{"no secret: look when the reader of secrets does", []func(*deliveryScope){func(s *deliveryScope) { s.signingProblem = &signingsecret.Problem{LookAgain: at(15 * second)} }}, plan{lookAgain: at(15 * second)}},
		{"no secret, failed and asked for: look when the reader of secrets does", []func(*deliveryScope){finished(v1alpha1.DeliveryFailed), func(s *deliveryScope) {
			asked("now")(s.delivery)
			s.signingProblem, s.phase = &signingsecret.Problem{LookAgain: at(15 * second)}, attempt.Queued
		}}, plan{withdraw: true, lookAgain: at(15 * second)}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := deliveryScope{delivery: someDelivery(), webhook: someWebhook(), now: at(second)}
			for _, change := range tt.changes {
				change(&s)
			}
			same(t, nextPlan(s), tt.want)
		})
	}
}

func TestOnly410OfThePresentEndpointEndsADelivery(t *testing.T) {
	webhook := someWebhook()
	for revision, want := range map[string]v1alpha1.DeliveryState{
		signingsecret.EndpointRevision(webhook): v1alpha1.DeliveryFailed,
		"former":                                v1alpha1.DeliveryRetrying,
	} {
		delivery := someDelivery(func(d *v1alpha1.WebhookDelivery) {
			d.Status = v1alpha1.WebhookDeliveryStatus{Attempts: 1, LastAttemptTime: micro(0), AttemptLog: []v1alpha1.Attempt{{
				Number: 1, StartTime: *micro(0), ResponseStatus: new(int32(410)), Reason: string(dispatcher.ReasonGone), EndpointRevision: revision,
			}}}
		})
		if got := nextDeliveryStatus(deliveryScope{delivery: delivery, webhook: webhook, now: at(second)}).State; got != want {
			t.Errorf("410 of %s: %s, want %s", revision, got, want)
		}
	}
}

// askedForAnHour is a delivery whose first attempt was answered so, half a second
// after it began, by the endpoint of a revision; "": by the webhook's own.
func askedForAnHour(revision string) func(*deliveryScope) {
	return func(s *deliveryScope) {
		s.webhook.Spec.RetryPolicy = delays(5 * second)
		s.delivery.Status = hourAsked(hour, cmp.Or(revision, signingsecret.EndpointRevision(s.webhook)))
	}
}

// hourAsked is the status of such a delivery whose next attempt comes after so long.
func hourAsked(next time.Duration, revision string) v1alpha1.WebhookDeliveryStatus {
	status := failedOnce()
	status.NextAttemptTime, status.NextAttempt = micro(next), new(metav1.NewTime(at((next + second - 1).Truncate(second))))
	status.AttemptLog[0].RetryAfterTime = micro(hour)
	status.AttemptLog[0].EndpointRevision = cmp.Or(revision, signingsecret.EndpointRevision(someWebhook()))
	return status
}

// unknownEndpoint makes the attempt one of a version that noted no revision.
func unknownEndpoint(s *deliveryScope) { s.delivery.Status.AttemptLog[0].EndpointRevision = "" }

func TestLogEntry(t *testing.T) {
	long := strings.Repeat("€", 100) // 300 bytes
	made := attemptLogEntry(attempt.Outcome{Number: 3, Result: dispatcher.Result{
		StartedAt: at(1999 * time.Nanosecond), Duration: 1999 * time.Microsecond, StatusCode: 429,
		Reason: dispatcher.ReasonThrottled, Message: long, Snippet: long, RetryAfter: at(2 * hour),
	}})
	same(t, made, v1alpha1.Attempt{
		Number: 3, StartTime: *micro(time.Microsecond), DurationMilliseconds: 1, ResponseStatus: new(int32(429)), Reason: "Throttled",
		Message: strings.Repeat("€", 85), Answer: strings.Repeat("€", 85),
		RetryAfterTime: micro(hour + 2000*time.Microsecond),
	})
	for _, code := range []int{0, 99, 1000} {
		if made := attemptLogEntry(attempt.Outcome{Number: 1, Result: dispatcher.Result{StatusCode: code}}); made.ResponseStatus != nil {
			t.Errorf("status %d was recorded as %d", code, *made.ResponseStatus)
		}
	}
}

func TestAttemptLogIsBounded(t *testing.T) {
	var log []v1alpha1.Attempt
	full := strings.Repeat("x", 256)
	for number := int32(1); number <= 100; number++ {
		before := log
		log = appendAttemptLog(log, v1alpha1.Attempt{Number: number, StartTime: *micro(0), Message: full[:number], Answer: full})
		text, err := json.Marshal(log)
		if err != nil || len(text) > attemptLogBytes+2 || len(log) > 32 || log[len(log)-1].Number != number {
			t.Fatalf("after %d attempts: %d entries, %d bytes, %v", number, len(log), len(text), err)
		}
		if len(before) > 0 && log[0].Number < before[0].Number {
			t.Fatal("an attempt that was dropped came back")
		}
	}
	short := make([]v1alpha1.Attempt, 0, 40)
	for number := range int32(40) {
		short = appendAttemptLog(short, v1alpha1.Attempt{Number: number + 1})
	}
	if len(short) != 32 || short[0].Number != 9 {
		t.Errorf("kept %d, the oldest is %d; want the newest 32", len(short), short[0].Number)
	}
}
