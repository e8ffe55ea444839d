// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"encoding/json"
	"strings"
)

// What overflow can be: what publishers see when a webhook takes no more.
const (
	OverflowSkip   = "Skip"
	OverflowRefuse = "Refuse"
)

// What retention.record can be.
const (
	RecordAlways   = "Always"
	RecordBudgeted = "Budgeted"
	RecordNever    = "Never"
)

// RetryPolicy says when failed attempts of a webhook are repeated.
type RetryPolicy struct {
	Delays        []string `json:"delays" nullable:"false" doc:"Waits before attempts 2, 3, …, counted from the end of the attempt before; empty: one attempt" example:"[\"5s\",\"15s\",\"45s\",\"2m\"]"`
	Timeout       string   `json:"timeout" doc:"How long one attempt may take" example:"10s"`
	JitterPercent int      `json:"jitter_percent" doc:"Every delay is lengthened by a random share of up to so much"`
}

// Retention says what is kept of a webhook's finished deliveries.
type Retention struct {
	Succeeded *string `json:"succeeded" doc:"How long after success; null: as the operator says (1h)" example:"1h"`
	Failed    *string `json:"failed" doc:"How long after failure; null: as the operator says (168h)" example:"168h"`
	MaxCount  *int    `json:"max_count" doc:"How many at most; null: as the operator says"`
	Record    string  `json:"record" enum:"Always,Budgeted,Never" doc:"Which deliveries that succeed at once can be looked up later"`
}

// SettingsChange is what a request says of a webhook's settings. What is left out
// is kept; null brings the default back.
type SettingsChange struct {
	RetryPolicy      *RetryPolicyChange `json:"retry_policy,omitempty" doc:"When failed attempts are repeated; null: the default"`
	DeliveryDeadline *string            `json:"delivery_deadline,omitempty" nullable:"true" maxLength:"32" doc:"Age at which a delivery fails that has not succeeded, from 1s to 720h; null: 72h" example:"72h"`
	Overflow         *string            `json:"overflow,omitempty" nullable:"true" enum:"Skip,Refuse" doc:"When the webhook takes no more: Skip passes it over and tells the publisher, Refuse answers 429 to the whole publish; null: Skip"`
	Retention        *RetentionChange   `json:"retention,omitempty" doc:"What is kept of finished deliveries; null: the default"`
}

// NewSettingsChange returns a change of the members at these paths, such as
// "retry_policy.timeout". The error is that of a value of another type than the member's.
func NewSettingsChange(values map[string]any) (change SettingsChange, err error) {
	members := map[string]any{}
	for path, value := range values {
		object, last := members, path
		if outer, inner, nested := strings.Cut(path, "."); nested {
			object, _ = members[outer].(map[string]any)
			if object == nil {
				object = map[string]any{}
				members[outer] = object
			}
			last = inner
		}
		object[last] = value
	}
	text, err := json.Marshal(members)
	if err != nil {
		return change, err
	}
	return change, json.Unmarshal(text, &change)
}

// RetryPolicyChange is what a request says of a retry policy.
type RetryPolicyChange struct {
	Delays        *[]string `json:"delays,omitempty" nullable:"true" maxItems:"19" doc:"Waits before attempts 2, 3, …, each from 0s to 24h; an empty list: one attempt; null: 5s, 15s, 45s, 2m"`
	Timeout       *string   `json:"timeout,omitempty" nullable:"true" maxLength:"32" doc:"How long one attempt may take, from 1s to 30s; null: 10s" example:"10s"`
	JitterPercent *int      `json:"jitter_percent,omitempty" nullable:"true" minimum:"0" maximum:"100" doc:"Lengthens every delay by a random share of up to so much; null: 0"`
}

// RetentionChange is what a request says of retention.
type RetentionChange struct {
	Succeeded *string `json:"succeeded,omitempty" nullable:"true" maxLength:"32" doc:"How long after success, from 0s to 720h; null: as the operator says (1h)" example:"1h"`
	Failed    *string `json:"failed,omitempty" nullable:"true" maxLength:"32" doc:"How long after failure, from 0s to 720h; null: as the operator says (168h)" example:"168h"`
	MaxCount  *int    `json:"max_count,omitempty" nullable:"true" minimum:"0" maximum:"10000" doc:"How many at most, never more than the operator allows; null: as many"`
	Record    *string `json:"record,omitempty" nullable:"true" enum:"Always,Budgeted,Never" doc:"Which deliveries that succeed at once can be looked up later; null: Budgeted"`
}

// Warning is something that was accepted and is probably a mistake.
type Warning struct {
	Field  string `json:"field" doc:"Where, such as events[0]" example:"events[0]"`
	Detail string `json:"detail" doc:"What looks wrong and what to do"`
	Reason string `json:"reason" doc:"For programs: EventTypeNotRegistered" example:"EventTypeNotRegistered"`
}
