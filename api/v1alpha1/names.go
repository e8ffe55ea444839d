// SPDX-License-Identifier: Apache-2.0

package v1alpha1

// Labels and annotations that this project reads or writes.
const (
	// SigningSecretLabel must be "true" on a Secret before it signs anything.
	// Whoever may create Webhooks but not label Secrets gets no oracle that
	// signs with a Secret of somebody else.
	SigningSecretLabel = "bbmcp.quietstack.com/signing-secret"

	// SigningKeyAnnotation on a Secret with the label SigningSecretLabel names the
	// keys, separated by commas, that spec.signing.secretRef.key of Webhooks may name
	// beside "secret". A Secret with only one value needs none.
	SigningKeyAnnotation = "bbmcp.quietstack.com/signing-key"

	// WebhookLabel names the Webhook of a generated Secret or of a delivery
	// that the gateway made.
	WebhookLabel = "bbmcp.quietstack.com/webhook"

	// OriginLabel says who made a delivery. Retention deletes only deliveries
	// whose value is OriginGateway.
	OriginLabel = "bbmcp.quietstack.com/origin"
	// OriginGateway marks a delivery that the gateway made from a published event.
	OriginGateway = "gateway"

	// PreviousUntilAnnotation stands on a signing Secret while a rotation
	// overlaps: the RFC 3339 time at which the key "previous" stops signing.
	PreviousUntilAnnotation = "bbmcp.quietstack.com/previous-until"

	// SecretFollowsAnnotation is "true" on a Webhook whose author is about to
	// create its signing Secret <name>-signing and then removes the annotation.
	// For the first 30 s of the Webhook's life the controller makes none itself.
	SecretFollowsAnnotation = "bbmcp.quietstack.com/secret-follows"

	// UnrecordedAnnotation on a WebhookDelivery that the gateway made says how many
	// deliveries of the Webhook succeeded at once and got no object, since the
	// one before that did.
	UnrecordedAnnotation = "bbmcp.quietstack.com/unrecorded"

	// HeldAnnotation on a WebhookDelivery says why the gateway that made it left all
	// else to the controller, though nothing may be wrong: HeldGatewayTooOld.
	HeldAnnotation = "bbmcp.quietstack.com/held"
	// HeldGatewayTooOld says that the spec of the Webhook has members that the gateway
	// did not know. What they say of the event is the controller's to find out.
	HeldGatewayTooOld = "GatewayTooOld"

	// RetryRequestedAtAnnotation on a WebhookDelivery asks for one attempt now.
	// Any value that differs from status.lastHandledRetryAt counts; the custom
	// is an RFC 3339 time.
	RetryRequestedAtAnnotation = "bbmcp.quietstack.com/retry-requested-at"
	// RotateRequestedAtAnnotation on a Webhook asks for a new signing secret.
	RotateRequestedAtAnnotation = "bbmcp.quietstack.com/rotate-requested-at"
	// EnableRequestedAtAnnotation on a Webhook ends the state Disabled.
	EnableRequestedAtAnnotation = "bbmcp.quietstack.com/enable-requested-at"
)

// Keys of a signing Secret.
const (
	// SecretKey holds the secret that signs.
	SecretKey = "secret"
	// PreviousSecretKey holds the secret that a rotation replaced, while both sign.
	PreviousSecretKey = "previous"
)

// Fields by which deliveries can be selected, on the API server and in caches.
const (
	FieldWebhookName = "spec.webhookRef.name"
	FieldEventType   = "spec.eventType"
	FieldState       = "status.state"
)
