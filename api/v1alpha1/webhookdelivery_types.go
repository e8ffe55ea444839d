// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// WebhookDelivery is one event on its way to one Webhook: the exact bytes of
// the body, and what became of every attempt.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=whd,categories=bbmcp
// +kubebuilder:selectablefield:JSONPath=`.spec.webhookRef.name`
// +kubebuilder:selectablefield:JSONPath=`.spec.eventType`
// +kubebuilder:selectablefield:JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Webhook",type=string,JSONPath=`.spec.webhookRef.name`
// +kubebuilder:printcolumn:name="Event",type=string,JSONPath=`.spec.eventType`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Attempts",type=integer,JSONPath=`.status.attempts`
// +kubebuilder:printcolumn:name="Code",type=integer,JSONPath=`.status.responseStatus`
// +kubebuilder:printcolumn:name="Next",type=string,JSONPath=`.status.nextAttempt`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Event-ID",type=string,JSONPath=`.spec.eventID`,priority=1
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Succeeded")].reason`,priority=1
// +kubebuilder:printcolumn:name="Error",type=string,JSONPath=`.status.errorMessage`,priority=1
type WebhookDelivery struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what is delivered. It cannot be changed.
	// +required
	// +structType=atomic
	// +kubebuilder:validation:XValidation:rule="self == oldSelf",message="a delivery cannot be changed, its bytes may be signed and sent already; create a new WebhookDelivery instead"
	Spec WebhookDeliverySpec `json:"spec,omitzero"`

	// status is what became of it; only the controller writes it.
	// +optional
	// +structType=atomic
	Status WebhookDeliveryStatus `json:"status,omitzero"`
}

// WebhookDeliveryList is a list of WebhookDeliveries.
//
// +kubebuilder:object:root=true
type WebhookDeliveryList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []WebhookDelivery `json:"items"`
}

// WebhookDeliverySpec is what is delivered, to whom.
type WebhookDeliverySpec struct {
	// webhookRef names the Webhook of the same namespace that this goes to. Its
	// url, secret and retry policy are read at each attempt.
	// +required
	WebhookRef WebhookReference `json:"webhookRef,omitzero"`

	// eventID identifies the event: header webhook-id, the same on every
	// attempt and for every webhook, the receiver's idempotency key. One to 64
	// of A-Z a-z 0-9 _ -.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9_-]{1,64}$`
	EventID string `json:"eventID,omitempty"`

	// eventType is the type of the event, for example context.created; the same
	// as the member "event" of the payload.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	// +kubebuilder:validation:Pattern=`^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$`
	EventType string `json:"eventType,omitempty"`

	// payload is the body, byte for byte as it is signed and sent:
	// {"event":…,"timestamp":…,"data":{…}} in the form that JSON.stringify
	// gives it. At most 262144 bytes. One that breaks the form fails as
	// PayloadInvalid and is never signed.
	// +required
	// +kubebuilder:validation:MinLength=2
	// +kubebuilder:validation:MaxLength=262144
	Payload string `json:"payload,omitempty"`

	// acceptedTime is when the event was accepted; the deadline counts from it.
	// If unset or later, metadata.creationTimestamp. UTC with exactly six digits behind
	// the point, for example 2024-01-15T10:30:00.000000Z.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$`
	AcceptedTime *metav1.MicroTime `json:"acceptedTime,omitempty"`

	// notBefore holds the first attempt of the controller back until then,
	// because whoever created the object is making one. It no longer counts once
	// an attempt is recorded, nor an hour after the creation of the object. UTC
	// with exactly six digits behind the point.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$`
	NotBefore *metav1.MicroTime `json:"notBefore,omitempty"`

	// firstAttempt is the attempt that the gateway made before it created this
	// object; the controller goes on with the next one.
	// +optional
	FirstAttempt *Attempt `json:"firstAttempt,omitempty"`

	// test marks a test event: it carries the header X-BBMCP-Test: true, is
	// sent also while the webhook is suspended or disabled, and does not count
	// in its health.
	// +optional
	Test bool `json:"test,omitempty"`

	// traceParent is the W3C Trace Context of the publisher.
	// +optional
	// +kubebuilder:validation:MaxLength=55
	// +kubebuilder:validation:Pattern=`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`
	TraceParent string `json:"traceParent,omitempty"`

	// publishedBy is the user name of whoever published the event.
	// +optional
	// +kubebuilder:validation:MaxLength=512
	PublishedBy string `json:"publishedBy,omitempty"`

	// ttlAfterFinished deletes this object so long after it finished, for
	// example "24h". If unset, an object made by hand stays until its author
	// deletes it. At most 30 days.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('720h')",message="must be a duration from 0s to 720h, such as 24h"
	TTLAfterFinished *metav1.Duration `json:"ttlAfterFinished,omitempty"`
}

// WebhookReference names a Webhook of the same namespace.
type WebhookReference struct {
	// name of the Webhook.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`
}

// WebhookDeliveryStatus is what became of a delivery.
type WebhookDeliveryStatus struct {
	// state is Pending (no attempt yet), Retrying (failed, more attempts to
	// come), Succeeded or Failed.
	// +optional
	State DeliveryState `json:"state,omitempty"`

	// attempts is how many attempts have been made.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=2147483647
	Attempts int32 `json:"attempts,omitempty"`

	// responseStatus is the HTTP status of the latest attempt; unset if no
	// answer came.
	// +optional
	// +kubebuilder:validation:Minimum=100
	// +kubebuilder:validation:Maximum=999
	ResponseStatus *int32 `json:"responseStatus,omitempty"`

	// errorMessage says why the latest attempt failed, or why the delivery did.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	ErrorMessage string `json:"errorMessage,omitempty"`

	// lastAttemptTime is when the latest attempt started.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$`
	LastAttemptTime *metav1.MicroTime `json:"lastAttemptTime,omitempty"`

	// nextAttemptTime is when the next attempt is due; unset if none is.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$`
	NextAttemptTime *metav1.MicroTime `json:"nextAttemptTime,omitempty"`

	// nextAttempt is nextAttemptTime to the second, rounded up: the column NEXT.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$`
	NextAttempt *metav1.Time `json:"nextAttempt,omitempty"`

	// completionTime is when the delivery succeeded or failed for good.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$`
	CompletionTime *metav1.MicroTime `json:"completionTime,omitempty"`

	// attemptLog holds the newest attempts, oldest first, 4 KiB in all.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=32
	AttemptLog []Attempt `json:"attemptLog,omitempty"`

	// lastHandledRetryAt is the last value of the annotation
	// bbmcp.quietstack.com/retry-requested-at that was acted on.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	LastHandledRetryAt string `json:"lastHandledRetryAt,omitempty"`

	// conditions hold Succeeded: True, False (failed for good) or Unknown
	// (under way), with the reason.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=8
	// +kubebuilder:validation:XValidation:rule="self.all(c, c.lastTransitionTime >= timestamp('0001-01-01T00:00:00Z'))",message="lastTransitionTime must be an RFC 3339 time such as 2024-01-15T10:30:00Z"
	Conditions []metav1.Condition `json:"conditions,omitempty"`
}

// Attempt is one POST and what came of it.
type Attempt struct {
	// number of the attempt: 1, 2, 3, …; header X-BBMCP-Attempt.
	// +required
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=2147483647
	Number int32 `json:"number,omitempty"`

	// startTime is when it started.
	// +required
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$`
	StartTime metav1.MicroTime `json:"startTime,omitzero"`

	// durationMilliseconds is how long it took.
	// +optional
	// +kubebuilder:validation:Minimum=0
	DurationMilliseconds int64 `json:"durationMilliseconds,omitempty"`

	// responseStatus is the HTTP status; unset if no answer came.
	// +optional
	// +kubebuilder:validation:Minimum=100
	// +kubebuilder:validation:Maximum=999
	ResponseStatus *int32 `json:"responseStatus,omitempty"`

	// reason names the failure, for example HTTPStatus, Timeout,
	// NameNotResolved, CertificateInvalid or AddressForbidden; unset on success.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	Reason string `json:"reason,omitempty"`

	// message says more about the failure.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Message string `json:"message,omitempty"`

	// answer is the beginning of the answer's body: printable text of at most
	// 256 bytes.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Answer string `json:"answer,omitempty"`

	// retryAfterTime is when the endpoint asked to be tried again (429 or 503
	// with Retry-After).
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$`
	RetryAfterTime *metav1.MicroTime `json:"retryAfterTime,omitempty"`

	// primary is the secret that signed X-BBMCP-Signature while a rotation
	// overlapped.
	// +optional
	Primary SigningKey `json:"primary,omitempty"`

	// endpointRevision is the status.endpointRevision that belongs to the url and
	// signing of the Webhook which this attempt was made with: what the endpoint
	// answered says nothing about another one. Unset in attempts of older releases.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	EndpointRevision string `json:"endpointRevision,omitempty"`
}

// DeliveryState sums up where a delivery stands.
//
// +kubebuilder:validation:Enum=Pending;Retrying;Succeeded;Failed
type DeliveryState string

const (
	// DeliveryPending means that no attempt has been made yet. An empty state means the same.
	DeliveryPending DeliveryState = "Pending"
	// DeliveryRetrying means that attempts failed and more will follow.
	DeliveryRetrying DeliveryState = "Retrying"
	// DeliverySucceeded means that the endpoint answered 2xx.
	DeliverySucceeded DeliveryState = "Succeeded"
	// DeliveryFailed means that it failed for good; it can be retried by hand.
	DeliveryFailed DeliveryState = "Failed"
)

// ConditionSucceeded is the condition of a WebhookDelivery.
const ConditionSucceeded = "Succeeded"

// Reasons of the condition Succeeded. They are API: never reworded.
const (
	// ReasonDelivered: True; the endpoint answered 2xx.
	ReasonDelivered = "Delivered"

	// ReasonPending: Unknown; no attempt has been made yet.
	ReasonPending = "Pending"
	// ReasonRetryScheduled: Unknown; the next attempt has a time.
	ReasonRetryScheduled = "RetryScheduled"
	// ReasonSigningSecretUnavailable: Unknown; nothing is sent unsigned. No
	// attempt is used up.
	ReasonSigningSecretUnavailable = "SigningSecretUnavailable"
	// ReasonWebhookSuspended: Unknown; spec.suspend of the webhook holds it.
	ReasonWebhookSuspended = "WebhookSuspended"
	// ReasonWebhookDisabled: Unknown; held until the webhook is enabled.
	ReasonWebhookDisabled = "WebhookDisabled"
	// ReasonWebhookTooNew: Unknown; the spec of the webhook has members that this
	// version of the controller does not know, so it sends nothing.
	ReasonWebhookTooNew = "WebhookTooNew"
	// ReasonWebhookNotFound: Unknown for an hour after creation, then False.
	ReasonWebhookNotFound = "WebhookNotFound"

	// ReasonAttemptsExhausted: False; every attempt of the policy failed.
	ReasonAttemptsExhausted = "AttemptsExhausted"
	// ReasonDeadlineExceeded: False; older than the webhook's deliveryDeadline.
	ReasonDeadlineExceeded = "DeadlineExceeded"
	// ReasonDispatcherLost: False; the last attempt was lost with the
	// dispatcher three times.
	ReasonDispatcherLost = "DispatcherLost"
	// ReasonPayloadInvalid: False; the payload breaks the form, see spec.payload.
	ReasonPayloadInvalid = "PayloadInvalid"
	// ReasonEventTypeMismatch: False; spec.eventType is not the payload's event.
	ReasonEventTypeMismatch = "EventTypeMismatch"
	// ReasonWebhookReplaced: False; the Webhook of that name is not the one
	// that this delivery was made for.
	ReasonWebhookReplaced = "WebhookReplaced"
)
