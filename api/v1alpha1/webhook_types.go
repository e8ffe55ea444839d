// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Webhook declares one endpoint: where to send which events, how to sign
// them, and how to retry.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:shortName=wh,categories=bbmcp
// +kubebuilder:selectablefield:JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="URL",type=string,JSONPath=`.spec.url`
// +kubebuilder:printcolumn:name="State",type=string,JSONPath=`.status.state`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Healthy",type=string,JSONPath=`.status.conditions[?(@.type=="EndpointHealthy")].status`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Suspended",type=boolean,JSONPath=`.spec.suspend`,priority=1
// +kubebuilder:printcolumn:name="Events",type=string,JSONPath=`.spec.events`,priority=1
// +kubebuilder:printcolumn:name="Last-Success",type=date,JSONPath=`.status.lastSuccessTime`,priority=1
// +kubebuilder:printcolumn:name="Last-Failure",type=date,JSONPath=`.status.lastFailureTime`,priority=1
// +kubebuilder:printcolumn:name="Endpoint",type=string,JSONPath=`.status.conditions[?(@.type=="EndpointHealthy")].reason`,priority=1
// +kubebuilder:printcolumn:name="ID",type=string,JSONPath=`.status.webhookID`,priority=1
// +kubebuilder:printcolumn:name="Status",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].message`,priority=1
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 245",message="metadata.name must be at most 245 characters, so that the Secret <name>-signing can exist; choose a shorter name"
type Webhook struct {
	metav1.TypeMeta `json:",inline"`

	// metadata is the standard object metadata.
	// +optional
	metav1.ObjectMeta `json:"metadata,omitzero"`

	// spec is what its owner wants.
	// +required
	Spec WebhookSpec `json:"spec,omitzero"`

	// status is what the controller saw; nobody else writes it.
	// +optional
	// +kubebuilder:default={"observedGeneration":-1}
	Status WebhookStatus `json:"status,omitzero"`
}

// WebhookList is a list of Webhooks.
//
// +kubebuilder:object:root=true
type WebhookList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitzero"`
	Items           []Webhook `json:"items"`
}

// WebhookSpec is what the owner of a Webhook wants.
type WebhookSpec struct {
	// url is the endpoint that receives a POST for every matching event, for
	// example https://example.com/hooks/bbmcp. It must be https (http only
	// where the operator runs with --allow-http), without user info, without a
	// fragment and without white space or invisible characters, at most 2048
	// characters. The host is an address or a name in ASCII; write an
	// international name in its xn-- form. Path and query are sent as they are
	// written, percent-encoded where they are not. A change takes effect at the
	// next attempt, also for deliveries that wait, and ends the state Disabled.
	// All who may read Webhooks see it, with the role view too, so it is no place
	// for a token or another secret: what proves to the endpoint who calls is the
	// signature.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="isURL(self) && url(self).getScheme() in ['https', 'http'] && url(self).getHostname() != ''",message="must be an absolute https URL such as https://example.com/hooks"
	// +kubebuilder:validation:XValidation:rule="!self.contains('#')",message="must not have a fragment (#...): it would never be sent; remove it"
	// +kubebuilder:validation:XValidation:rule="!self.matches('^[A-Za-z]+://[^/?#]*@')",message="must not have user info (user:password@): remove it, all who may read Webhooks see the url; have the endpoint verify the signature instead"
	// +kubebuilder:validation:XValidation:rule="!self.matches('[\\\\s\\\\\\\\]')",message="must not contain white space or backslashes; percent-encode them"
	// +kubebuilder:validation:XValidation:rule="!self.matches('[\\\\pZ\\\\pC\\\\x{34f}\\\\x{115f}\\\\x{1160}\\\\x{17b4}\\\\x{17b5}\\\\x{180b}-\\\\x{180f}\\\\x{2065}\\\\x{2800}\\\\x{3164}\\\\x{fe00}-\\\\x{fe0f}\\\\x{ffa0}\\\\x{e0000}-\\\\x{e0fff}]')",message="must not contain invisible characters, such as a no-break space that came with pasted text; remove or percent-encode them"
	// +kubebuilder:validation:XValidation:rule="!isURL(self) || self.matches('^[A-Za-z]+://([^/?#]*@)?(([A-Za-z0-9_-]{1,63}[.])*[A-Za-z0-9_-]{1,63}[.]?|\\\\[[0-9A-Fa-f:.]+\\\\])(:(0*([1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5]))?)?([/?#].*)?$')",message="must have a host of ASCII letters, digits, '-', '_' and '.', or an IP address, and a port from 1 to 65535 or none; write an international name in its xn-- form, such as xn--bcher-kva.example"
	URL string `json:"url,omitempty"`

	// events lists what is sent: event types such as context.created, prefixes
	// such as context.* (everything that begins with "context.", at any depth),
	// or * for everything. At least one, at most 64.
	// +required
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=130
	// +kubebuilder:validation:items:Pattern=`^(\*|[A-Za-z0-9][A-Za-z0-9_.-]{0,127}(\.\*)?)$`
	Events []string `json:"events,omitempty"`

	// description is a note for people, at most 1024 characters.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Description string `json:"description,omitempty"`

	// suspend holds every delivery of this webhook while true: nothing is sent,
	// new events are collected up to the backlog limits. Setting it to false
	// sends what was collected, paced. Default false.
	// +optional
	Suspend bool `json:"suspend,omitempty"`

	// sendTraceParent sends the header traceparent (W3C Trace Context) with every
	// attempt, so that traces go on at the receiver: that of the attempt where the
	// operator makes traces, else what the publisher sent, if it did. Receivers
	// learn the ids of your traces by it. Default false: it is not sent.
	// +optional
	SendTraceParent bool `json:"sendTraceParent,omitempty"`

	// signing says which secret signs, and how long two of them overlap in a
	// rotation. If unset, the controller makes the Secret <name>-signing.
	// +optional
	Signing *Signing `json:"signing,omitempty"`

	// retryPolicy says when failed attempts are repeated. If unset: after 5 s,
	// 15 s, 45 s and 2 min, each attempt with a timeout of 10 s.
	// +optional
	RetryPolicy *RetryPolicy `json:"retryPolicy,omitempty"`

	// deliveryDeadline is the age at which an unfinished delivery fails as
	// DeadlineExceeded, whatever attempts it has left, for example "72h".
	// From 1s to 30 days. Default 72h.
	// +optional
	// +kubebuilder:default="72h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('720h')",message="must be a duration from 1s to 720h, such as 72h"
	DeliveryDeadline *metav1.Duration `json:"deliveryDeadline,omitempty"`

	// overflow says what a publisher sees when this webhook's backlog is full, or
	// its endpoint fails and events come faster than they can be stored: Skip
	// (default) sends the event to the others and reports this webhook as skipped;
	// Refuse answers 429 to the whole publish.
	// +optional
	// +kubebuilder:default=Skip
	Overflow OverflowPolicy `json:"overflow,omitempty"`

	// retention says how long finished deliveries are kept and which successes
	// are recorded. It touches only deliveries that the gateway made, never
	// those that were applied by hand or from Git.
	// +optional
	Retention *Retention `json:"retention,omitempty"`

	// UnknownMembers are the paths of members of the spec that a later version of
	// the CRD has and this type lacks. A process that finds some does not know what
	// the webhook's owner wants, and must not send anything to it.
	UnknownMembers []string `json:"-"`
}

// OverflowPolicy says what happens to an event when a webhook's backlog is full.
//
// +kubebuilder:validation:Enum=Skip;Refuse
type OverflowPolicy string

const (
	// OverflowSkip leaves the full webhook out and tells the publisher.
	OverflowSkip OverflowPolicy = "Skip"
	// OverflowRefuse answers 429 to the whole publish.
	OverflowRefuse OverflowPolicy = "Refuse"
)

// Signing names the secret of a Webhook.
type Signing struct {
	// secretRef names a Secret of the same namespace that its owner keeps. It
	// must carry the label bbmcp.quietstack.com/signing-secret: "true" and
	// belong to no other Webhook. If unset, the controller generates one.
	// +optional
	SecretRef *SecretKeyReference `json:"secretRef,omitempty"`

	// overlap is how long the old and the new secret both sign after a
	// rotation, for example "24h". "0s" drops the old secret at once: for
	// secrets that leaked. At most 30 days. Default 24h.
	// +optional
	// +kubebuilder:default="24h"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('720h')",message="must be a duration from 0s to 720h, such as 24h"
	Overlap *metav1.Duration `json:"overlap,omitempty"`
}

// SecretKeyReference names a key of a Secret in the Webhook's own namespace.
type SecretKeyReference struct {
	// name of the Secret.
	// +required
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$`
	Name string `json:"name,omitempty"`

	// key of the Secret whose value signs. Default "secret". Another one must be
	// the only one of the Secret, or be named in its annotation
	// bbmcp.quietstack.com/signing-key. The key "previous", where the Secret has it,
	// signs beside it.
	// +optional
	// +kubebuilder:default=secret
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:Pattern=`^[-._a-zA-Z0-9]+$`
	// +kubebuilder:validation:XValidation:rule="self != 'previous'",message="must not be \"previous\": that key holds the secret a rotation replaced"
	Key string `json:"key,omitempty"`
}

// RetryPolicy says when failed attempts are repeated.
type RetryPolicy struct {
	// delays are the waits before attempts 2, 3, … counted from the end of the
	// attempt before, for example ["5s","15s","45s","2m"]. At most 19, each at
	// most 24h. An empty list means one attempt and no retry. If unset: 5s,
	// 15s, 45s, 2m.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=19
	// +kubebuilder:validation:items:Type=string
	// +kubebuilder:validation:items:MaxLength=32
	// +kubebuilder:validation:items:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="self.all(d, duration(d) >= duration('0s') && duration(d) <= duration('24h'))",message="each delay must be a duration from 0s to 24h, such as 45s or 2m"
	Delays *[]metav1.Duration `json:"delays,omitempty"`

	// timeout bounds one whole attempt: name lookup, connect, TLS, request and
	// answer. From 1s to 30s. Default 10s.
	// +optional
	// +kubebuilder:default="10s"
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('1s') && duration(self) <= duration('30s')",message="must be a duration from 1s to 30s, such as 10s"
	Timeout *metav1.Duration `json:"timeout,omitempty"`

	// jitterPercent lengthens every delay by a random share of up to this many
	// percent, so that many failed deliveries do not return at once. From 0 to
	// 100. Default 0.
	// +optional
	// +kubebuilder:default=0
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=100
	JitterPercent *int32 `json:"jitterPercent,omitempty"`
}

// Retention bounds what is kept of finished deliveries.
type Retention struct {
	// succeeded is how long a delivery is kept after it succeeded, for example
	// "1h". At most 30 days, and no longer than the operator keeps any (1h by
	// default), which counts if this is unset.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('720h')",message="must be a duration from 0s to 720h, such as 1h"
	Succeeded *metav1.Duration `json:"succeeded,omitempty"`

	// failed is how long a delivery is kept after it failed for good, for
	// example "168h". At most 30 days, and no longer than the operator keeps any
	// (7 days by default), which counts if this is unset.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:Pattern=`^([0-9]+(\.[0-9]+)?(ms|s|m|h))+$`
	// +kubebuilder:validation:XValidation:rule="duration(self) >= duration('0s') && duration(self) <= duration('720h')",message="must be a duration from 0s to 720h, such as 168h"
	Failed *metav1.Duration `json:"failed,omitempty"`

	// maxCount is how many succeeded and how many failed deliveries are kept, the
	// newest ones. From 0 to 10000; the operator's own limit (default 1000) is never
	// exceeded. Bounds of the namespace and of all together may leave fewer: what
	// failed and went before its time is counted in status.deliveriesDeletedEarly.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=10000
	MaxCount *int32 `json:"maxCount,omitempty"`

	// record says which deliveries that succeed at the gateway's first attempt
	// become objects: Always, Budgeted (default: up to 5 a second, the rest is
	// counted only) or Never. What failed, waits or was slow is always recorded,
	// and so is a success while status says that the endpoint is not healthy.
	// +optional
	// +kubebuilder:default=Budgeted
	Record RecordPolicy `json:"record,omitempty"`
}

// RecordPolicy says which immediate successes are recorded as objects.
//
// +kubebuilder:validation:Enum=Always;Budgeted;Never
type RecordPolicy string

const (
	// RecordAlways records every success.
	RecordAlways RecordPolicy = "Always"
	// RecordBudgeted records successes within a rate and counts the rest.
	RecordBudgeted RecordPolicy = "Budgeted"
	// RecordNever counts successes only.
	RecordNever RecordPolicy = "Never"
)
