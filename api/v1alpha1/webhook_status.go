// SPDX-License-Identifier: Apache-2.0

package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// WebhookStatus is what the controller saw of a Webhook and its endpoint.
type WebhookStatus struct {
	// observedGeneration is the metadata.generation that this status speaks of;
	// -1 until the controller has seen the object.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// webhookID is the id by which the REST API knows this webhook: wh_ and 16
	// hexadecimal digits of SHA-256 over "namespace/name".
	// +optional
	// +kubebuilder:validation:MaxLength=64
	WebhookID string `json:"webhookID,omitempty"`

	// state is Active, Failing (a delivery failed for good and none has
	// succeeded since) or Disabled (nothing is sent until the url or signing
	// changes or somebody enables it again). Suspended is beside it: see spec.suspend.
	// +optional
	State WebhookState `json:"state,omitempty"`

	// conditions say whether the configuration works (Ready) and how the
	// endpoint does (EndpointHealthy, EventTypesRegistered, BacklogFull). An
	// endpoint that is down leaves Ready at True.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	// +kubebuilder:validation:XValidation:rule="self.all(c, c.lastTransitionTime >= timestamp('0001-01-01T00:00:00Z'))",message="lastTransitionTime must be an RFC 3339 time such as 2024-01-15T10:30:00Z"
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// lastSuccessTime is when a delivery last succeeded.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$`
	LastSuccessTime *metav1.MicroTime `json:"lastSuccessTime,omitempty"`

	// lastFailureTime is when a delivery last failed for good.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$`
	LastFailureTime *metav1.MicroTime `json:"lastFailureTime,omitempty"`

	// failingSinceTime is when the first delivery failed for good after the
	// last success; unset while none did.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$`
	FailingSinceTime *metav1.MicroTime `json:"failingSinceTime,omitempty"`

	// enabledTime is when the webhook was last enabled again: failures up to then
	// no longer count.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{6}Z$`
	EnabledTime *metav1.MicroTime `json:"enabledTime,omitempty"`

	// deliveriesSucceeded counts deliveries that succeeded. A crash of the
	// controller may lose up to a minute of counting.
	// +optional
	// +kubebuilder:validation:Minimum=0
	DeliveriesSucceeded int64 `json:"deliveriesSucceeded,omitempty"`

	// deliveriesFailed counts deliveries that failed for good. A crash of the
	// controller may lose up to a minute of counting.
	// +optional
	// +kubebuilder:validation:Minimum=0
	DeliveriesFailed int64 `json:"deliveriesFailed,omitempty"`

	// deliveriesUnrecorded counts deliveries that succeeded at once and were not
	// recorded as objects, see spec.retention.record.
	// +optional
	// +kubebuilder:validation:Minimum=0
	DeliveriesUnrecorded int64 `json:"deliveriesUnrecorded,omitempty"`

	// deliveriesDeletedEarly counts failed deliveries that were deleted before
	// spec.retention.failed was over, because there were too many of them, or they
	// were too large, for this webhook, its namespace or all together.
	// +optional
	// +kubebuilder:validation:Minimum=0
	DeliveriesDeletedEarly int64 `json:"deliveriesDeletedEarly,omitempty"`

	// deliveriesSkipped counts deliveries that this webhook did not get: it was
	// disabled, or its backlog took no more (BacklogFull). Their publishers were told.
	// A crash of a gateway or of the controller may lose some seconds of counting.
	// +optional
	// +kubebuilder:validation:Minimum=0
	DeliveriesSkipped int64 `json:"deliveriesSkipped,omitempty"`

	// lastSkippedTime is when this webhook last did not get a delivery.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$`
	LastSkippedTime *metav1.Time `json:"lastSkippedTime,omitempty"`

	// deliveriesPending is how many deliveries wait or are being retried, as of
	// the last write of this status (at most once a minute unless the state changes).
	// +optional
	// +kubebuilder:validation:Minimum=0
	DeliveriesPending int64 `json:"deliveriesPending,omitempty"`

	// retryAfterTime is until when the endpoint asked to be left alone (429 or
	// 503 with Retry-After).
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$`
	RetryAfterTime *metav1.Time `json:"retryAfterTime,omitempty"`

	// signing says which Secret signs and where a rotation stands.
	// +optional
	Signing *SigningStatus `json:"signing,omitempty"`

	// endpointRevision changes when url or signing change; such a change ends
	// the state Disabled.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	EndpointRevision string `json:"endpointRevision,omitempty"`

	// lastHandledRotateAt is the last value of the annotation
	// bbmcp.quietstack.com/rotate-requested-at that was acted on.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	LastHandledRotateAt string `json:"lastHandledRotateAt,omitempty"`

	// lastHandledEnableAt is the last value of the annotation
	// bbmcp.quietstack.com/enable-requested-at that was acted on.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	LastHandledEnableAt string `json:"lastHandledEnableAt,omitempty"`
}

// SigningStatus says which Secret signs and where a rotation stands.
type SigningStatus struct {
	// secretName is the Secret in use.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	SecretName string `json:"secretName,omitempty"`

	// overlapEndTime is when the previous secret stops signing; unset outside a
	// rotation.
	// +optional
	// +kubebuilder:validation:Type=string
	// +kubebuilder:validation:Pattern=`^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$`
	OverlapEndTime *metav1.Time `json:"overlapEndTime,omitempty"`

	// primary is the secret that signs X-BBMCP-Signature while two overlap:
	// Previous until an attempt on which Current was primary got a 2xx. Unset
	// outside a rotation.
	// +optional
	Primary SigningKey `json:"primary,omitempty"`
}

// SigningKey tells the two secrets of a rotation apart.
//
// +kubebuilder:validation:Enum=Current;Previous
type SigningKey string

const (
	// SigningKeyCurrent is the new secret.
	SigningKeyCurrent SigningKey = "Current"
	// SigningKeyPrevious is the secret that the rotation replaced.
	SigningKeyPrevious SigningKey = "Previous"
)

// WebhookState sums up how a webhook does.
//
// +kubebuilder:validation:Enum=Active;Failing;Disabled
type WebhookState string

const (
	// WebhookActive means that no delivery has failed for good since the last success.
	WebhookActive WebhookState = "Active"
	// WebhookFailing means that one has, and none has succeeded since.
	WebhookFailing WebhookState = "Failing"
	// WebhookDisabled means that nothing is sent until somebody acts.
	WebhookDisabled WebhookState = "Disabled"
)

// Condition types of a Webhook.
const (
	// ConditionReady says whether the configuration works. An endpoint that is
	// down does not make it False; being Disabled does.
	ConditionReady = "Ready"
	// ConditionReconciling is present, and True, only while a change is being
	// carried out (kstatus).
	ConditionReconciling = "Reconciling"
	// ConditionStalled is present, and True, only while nothing will change
	// until somebody acts (kstatus).
	ConditionStalled = "Stalled"
	// ConditionEndpointHealthy says whether the endpoint accepts deliveries. It
	// is False before the state is Failing: attempts that fail suffice.
	ConditionEndpointHealthy = "EndpointHealthy"
	// ConditionEventTypesRegistered says whether every type in spec.events is
	// in the catalogue of EventTypes.
	ConditionEventTypesRegistered = "EventTypesRegistered"
	// ConditionBacklogFull says whether new events for this webhook are skipped or
	// refused because too many deliveries of it wait.
	ConditionBacklogFull = "BacklogFull"
)

// Reasons of a Webhook's conditions. They are API: never reworded.
const (
	// ReasonReady: Ready=True.
	ReasonReady = "Ready"
	// ReasonSuspended: Ready=True; spec.suspend holds deliveries.
	ReasonSuspended = "Suspended"
	// ReasonDisabled: Ready=False, Stalled=True; nothing is sent until somebody acts.
	ReasonDisabled = "Disabled"
	// ReasonSecretNotFound: Ready=False; the Secret or its key is missing, or the
	// Secret lacks the label that lets webhooks sign with it.
	ReasonSecretNotFound = "SecretNotFound"
	// ReasonSecretInvalid: Ready=False; the secret breaks the grammar.
	ReasonSecretInvalid = "SecretInvalid"
	// ReasonSecretNotPermitted: Ready=False; the Secret belongs to another Webhook,
	// does not let the key sign, or stands where the generated one should.
	ReasonSecretNotPermitted = "SecretNotPermitted"
	// ReasonSecretRefused: Ready=False, Stalled=True; a quota or a policy keeps the
	// controller from storing the signing Secret. It tries again within a minute.
	ReasonSecretRefused = "SecretRefused"
	// ReasonRotationRefused: Ready=False, Stalled=True; the same with the new secret
	// of a rotation. The present one signs on.
	ReasonRotationRefused = "RotationRefused"
	// ReasonURLForbidden: Ready=False, Stalled=True; the address or scheme may not be reached.
	ReasonURLForbidden = "URLForbidden"
	// ReasonManagerTooOld: Ready=False, Stalled=True; the spec has members that this
	// version of the controller does not know, so it sends nothing.
	ReasonManagerTooOld = "ManagerTooOld"
	// ReasonProgressing: Reconciling=True, Ready=Unknown; the controller is at work.
	ReasonProgressing = "Progressing"

	// ReasonNoDeliveries: EndpointHealthy=Unknown; nothing has finished yet.
	ReasonNoDeliveries = "NoDeliveries"
	// ReasonDelivering: EndpointHealthy=True.
	ReasonDelivering = "Delivering"
	// ReasonAttemptsFailing: EndpointHealthy=False; attempts have failed for 20 s
	// or longer without a success, and no delivery has failed for good yet. The
	// state stays Active.
	ReasonAttemptsFailing = "AttemptsFailing"
	// ReasonDeliveriesFailing: EndpointHealthy=False; a delivery failed for
	// good and none has succeeded since.
	ReasonDeliveriesFailing = "DeliveriesFailing"
	// ReasonEndpointGone: EndpointHealthy=False; the endpoint answered 410.
	ReasonEndpointGone = "EndpointGone"
	// ReasonFailingTooLong: EndpointHealthy=False; failures without a success
	// lie further apart than the operator allows.
	ReasonFailingTooLong = "FailingTooLong"

	// ReasonAllRegistered: EventTypesRegistered=True.
	ReasonAllRegistered = "AllRegistered"
	// ReasonNotRegistered: EventTypesRegistered=False.
	ReasonNotRegistered = "NotRegistered"

	// ReasonBacklogBelowLimit: BacklogFull=False.
	ReasonBacklogBelowLimit = "BacklogBelowLimit"
	// ReasonBacklogAtLimit: BacklogFull=True; as many deliveries are unfinished as may be.
	ReasonBacklogAtLimit = "BacklogAtLimit"
	// ReasonDeliveriesSkipped: BacklogFull=True; a gateway skipped this webhook in the
	// last minutes, because it had more deliveries than could be stored.
	ReasonDeliveriesSkipped = "DeliveriesSkipped"
)
