// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"encoding/json"
	"time"
)

// States of a webhook.
const (
	WebhookActive   = "active"
	WebhookFailing  = "failing"
	WebhookDisabled = "disabled"
)

// States of a delivery.
const (
	DeliveryPending   = "pending"
	DeliveryRetrying  = "retrying"
	DeliverySucceeded = "succeeded"
	DeliveryFailed    = "failed"
)

// Why a webhook that matches an event gets no delivery.
const (
	// SkippedDisabled: the webhook is disabled; enable it.
	SkippedDisabled = "Disabled"
	// SkippedBacklogFull: too many of its deliveries are unfinished, or wait to be
	// stored while its endpoint fails.
	SkippedBacklogFull = "BacklogFull"
)

// Webhook is an endpoint and what it wants to hear of.
type Webhook struct {
	WebhookID   string    `json:"webhook_id" doc:"wh_ and 16 hexadecimal digits, computed from namespace and name" example:"wh_3b1f0f6f2a9c4d5e"`
	Name        string    `json:"name" doc:"Name of the Webhook object" example:"orders"`
	URL         string    `json:"url" doc:"Where events are posted" example:"https://example.com/hooks/bbmcp"`
	Events      []string  `json:"events" nullable:"false" doc:"Event types, prefixes such as context.*, or *"`
	Description *string   `json:"description" doc:"A note for people; null if there is none"`
	Secret      *string   `json:"secret,omitempty" doc:"The signing secret; only in the answers of create and rotate-secret"`
	Status      string    `json:"status" enum:"active,failing,disabled" doc:"failing: a delivery failed for good and none has succeeded since; disabled: nothing is sent until it is enabled"`
	Suspended   bool      `json:"suspended" doc:"Deliveries are held; new events are collected"`
	CreatedAt   time.Time `json:"created_at" doc:"When it was created (RFC 3339, UTC)"`

	EndpointHealth EndpointHealth `json:"endpoint_health" doc:"How the endpoint does: it is unhealthy before status is failing"`

	Problem *WebhookProblem `json:"problem" doc:"What keeps the webhook from working as it is configured: the condition Ready of the object, where it is False; null if nothing does"`

	DeliveriesSkipped int64      `json:"deliveries_skipped" doc:"Deliveries that it did not get, because it was disabled or its backlog took no more; counted within a minute"`
	LastSkippedAt     *time.Time `json:"last_skipped_at" doc:"When that last happened; null: never"`

	DeliveriesDeletedEarly int64 `json:"deliveries_deleted_early" doc:"Failed deliveries that were deleted before retention.failed was over, because there were too many or they were too large"`

	RetryPolicy      RetryPolicy `json:"retry_policy" doc:"When failed attempts are repeated"`
	DeliveryDeadline string      `json:"delivery_deadline" doc:"Age at which a delivery fails that has not succeeded" example:"72h"`
	Overflow         string      `json:"overflow" enum:"Skip,Refuse" doc:"What publishers see when the webhook takes no more: it is skipped, or nobody gets the event"`
	Retention        Retention   `json:"retention" doc:"What is kept of finished deliveries"`
	Warnings         []Warning   `json:"warnings,omitempty" nullable:"false" doc:"What was accepted and is probably a mistake, such as an event type that nobody knows; left out if there is nothing"`
}

// EndpointHealth is how the endpoint of a webhook does: the condition
// EndpointHealthy of the object.
type EndpointHealth struct {
	Healthy *bool      `json:"healthy" doc:"false: no attempt has succeeded for 20 s or longer, or worse; null: nothing is known yet"`
	Reason  string     `json:"reason" doc:"For programs: NoDeliveries, Delivering, AttemptsFailing, DeliveriesFailing, EndpointGone or FailingTooLong" example:"AttemptsFailing"`
	Message string     `json:"message" doc:"More about it, for people"`
	Since   *time.Time `json:"since" doc:"Since when healthy has been as it is; null while nothing is known"`
}

// WebhookProblem is what keeps a webhook from working as it is configured.
type WebhookProblem struct {
	Reason  string    `json:"reason" doc:"For programs: SecretRefused, SecretNotFound, SecretInvalid, SecretNotPermitted, RotationRefused, URLForbidden or Disabled" example:"SecretRefused"`
	Message string    `json:"message" doc:"What is wrong and the way out, for people"`
	Since   time.Time `json:"since" doc:"Since when (RFC 3339, UTC)"`
}

// WebhookCreate is the body of POST /v1/webhooks.
type WebhookCreate struct {
	URL         string   `json:"url" minLength:"1" maxLength:"2048" doc:"https (http only where the operator allows it), without user info and fragment" example:"https://example.com/hooks/bbmcp"`
	Events      []string `json:"events" nullable:"false" minItems:"1" maxItems:"64" doc:"Event types, prefixes such as context.*, or *"`
	Name        string   `json:"name,omitempty" minLength:"1" maxLength:"63" doc:"Name of the object: lower-case letters, digits and -; generated if unset" example:"orders"`
	Description string   `json:"description,omitempty" maxLength:"1024" doc:"A note for people"`
	Secret      string   `json:"secret,omitempty" minLength:"1" maxLength:"256" doc:"Signing secret of 16 to 256 bytes without white space at either end, not in quotes or encoded; generated if unset"`

	SettingsChange
}

// WebhookUpdate is the body of PUT and PATCH /v1/webhooks/{id}: what is given
// is changed, the rest is kept.
type WebhookUpdate struct {
	URL         *string  `json:"url,omitempty" minLength:"1" maxLength:"2048" doc:"New endpoint"`
	Events      []string `json:"events,omitempty" nullable:"false" minItems:"1" maxItems:"64" doc:"New list of events; replaces the old one"`
	Description *string  `json:"description,omitempty" maxLength:"1024" doc:"New note; empty removes it"`

	SettingsChange

	// Defaults names members that get their default back, such as overflow or
	// retry_policy.delays: a client sends null for each.
	Defaults []string `json:"-"`
}

// WebhookTest is the body of POST /v1/webhooks/{id}/test.
type WebhookTest struct {
	Event string          `json:"event" minLength:"1" maxLength:"128" doc:"Event type" example:"context.created"`
	Data  json.RawMessage `json:"data,omitempty" doc:"The member data of the event, a JSON object; the type's example if unset"`
}

// WebhookList is a page of webhooks, by name.
type WebhookList struct {
	Data       []Webhook `json:"data" nullable:"false"`
	NextCursor *string   `json:"next_cursor" doc:"Pass it as cursor for the next page; null on the last one"`
}

// Delivery is one event on its way to one webhook.
type Delivery struct {
	DeliveryID     string     `json:"delivery_id" doc:"The header X-BBMCP-Delivery" example:"dlv_n4bqgyhmfwwal7qlf7xe6cbfxmk3irgc"`
	WebhookID      string     `json:"webhook_id"`
	Event          string     `json:"event" doc:"Event type"`
	EventID        string     `json:"event_id" doc:"The header webhook-id: the receiver's idempotency key"`
	Status         string     `json:"status" enum:"pending,retrying,succeeded,failed"`
	Attempts       int        `json:"attempts" doc:"How many attempts were made"`
	ResponseStatus *int       `json:"response_status" doc:"HTTP status of the latest attempt; null if none came"`
	ErrorMessage   *string    `json:"error_message" doc:"Why the latest attempt failed; null if it did not"`
	CreatedAt      time.Time  `json:"created_at"`
	NextAttemptAt  *time.Time `json:"next_attempt_at" doc:"When the next attempt is due; null if none is"`
	CompletedAt    *time.Time `json:"completed_at" doc:"When it succeeded or failed for good; null before"`
}

// DeliveryDetail is a delivery with all that is known of it.
type DeliveryDetail struct {
	Delivery

	AttemptLog []Attempt `json:"attempt_log" nullable:"false" doc:"The newest attempts, oldest first"`
	Payload    string    `json:"payload" doc:"The body, byte for byte as it is signed and sent"`
}

// Attempt is one POST and what came of it.
type Attempt struct {
	Number         int        `json:"number" doc:"The header X-BBMCP-Attempt"`
	StartedAt      time.Time  `json:"started_at"`
	DurationMS     int64      `json:"duration_ms" doc:"Milliseconds"`
	ResponseStatus *int       `json:"response_status" doc:"HTTP status; null if no answer came"`
	Reason         *string    `json:"reason" doc:"Why it failed, such as Timeout or HTTPStatus; null if it did not"`
	Message        *string    `json:"message" doc:"More about the failure"`
	Answer         *string    `json:"answer" doc:"The beginning of the answer's body, printable text of at most 256 bytes"`
	RetryAfter     *time.Time `json:"retry_after" doc:"When the endpoint asked to be tried again"`
}

// DeliveryList is a page of deliveries, newest first.
type DeliveryList struct {
	Data       []Delivery `json:"data" nullable:"false"`
	NextCursor *string    `json:"next_cursor" doc:"Pass it as cursor for the next page; null on the last one"`
}

// EventPublish is the body of POST /v1/events. The gateway reads it itself,
// because the spelling of data is part of what is signed.
type EventPublish struct {
	Event     string          `json:"event" doc:"Event type" example:"context.created"`
	Data      json.RawMessage `json:"data" doc:"A JSON object; keys keep their order"`
	Timestamp string          `json:"timestamp,omitempty" format:"date-time" doc:"When it happened (RFC 3339); now if unset"`
	ID        string          `json:"id,omitempty" pattern:"^[A-Za-z0-9_-]{1,64}$" doc:"Makes publishing idempotent; generated if unset. Also the header Idempotency-Key"`
}

// Published is the answer to POST /v1/events: every delivery in it is delivered or
// durable.
type Published struct {
	EventID    string              `json:"event_id"`
	Deliveries []PublishedDelivery `json:"deliveries" nullable:"false"`
	Skipped    []SkippedWebhook    `json:"skipped" nullable:"false"`
}

// PublishedDelivery is one delivery of a published event.
type PublishedDelivery struct {
	DeliveryID string `json:"delivery_id"`
	WebhookID  string `json:"webhook_id"`
	Status     string `json:"status" enum:"pending,retrying,succeeded,failed"`
}

// SkippedWebhook is a webhook that matches but gets no delivery.
type SkippedWebhook struct {
	WebhookID string `json:"webhook_id"`
	Reason    string `json:"reason" enum:"Disabled,BacklogFull"`
}

// BatchPublished is the answer to a CloudEvents batch: one result an item, in
// order.
type BatchPublished struct {
	Results []BatchResult `json:"results" nullable:"false"`
}

// BatchResult is what became of one event of a batch.
type BatchResult struct {
	Status int `json:"status" doc:"HTTP status that this event alone would have got"`

	Published *Published `json:"published,omitempty" doc:"Set if status is 202"`
	Problem   *Problem   `json:"problem,omitempty" doc:"Set otherwise"`
}

// EventType is an entry of the catalogue.
type EventType struct {
	Type        string          `json:"type" example:"context.created"`
	Description *string         `json:"description"`
	Schema      json.RawMessage `json:"schema" doc:"JSON Schema (2020-12) of the member data; null: any object"`
	Example     json.RawMessage `json:"example" doc:"The member data of an example; null if there is none"`
}

// EventTypeList is the catalogue, by type.
type EventTypeList struct {
	Data       []EventType `json:"data" nullable:"false"`
	NextCursor *string     `json:"next_cursor" doc:"Always null: the catalogue is one page"`
}

// Problem is every error (RFC 9457, application/problem+json).
type Problem struct {
	Type      string         `json:"type" doc:"about:blank: title says it all (RFC 9457, section 4.2.1)"`
	Title     string         `json:"title" doc:"Name of the HTTP status"`
	Status    int            `json:"status"`
	Detail    string         `json:"detail" doc:"What is wrong and what to do"`
	Reason    string         `json:"reason,omitempty" doc:"For programs: a CamelCase word such as NotFound or NumberNotExact"`
	RequestID string         `json:"request_id,omitempty" doc:"The header X-Request-Id, which the gateway's log has too"`
	Errors    []ProblemField `json:"errors,omitempty" doc:"The fields at fault"`

	// The rest is only in errors of POST /v1/events.

	EventID    string              `json:"event_id,omitempty" doc:"Repeat the publish with this id"`
	Deliveries []PublishedDelivery `json:"deliveries,omitempty" doc:"Deliveries that exist already; repeating makes no second ones"`
}

// ProblemField is one field at fault.
type ProblemField struct {
	Field  string `json:"field" doc:"Where: a member such as data.items[3].price, a parameter such as query.limit, a header" example:"url"`
	Detail string `json:"detail" doc:"What is wrong and what to do"`
	Reason string `json:"reason,omitempty" doc:"For programs"`
}
