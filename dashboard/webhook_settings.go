// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"bbmcp.quietstack.com/webhooks/api/rest"
)

// noRetries is the input for an empty list of delays; an empty input means the default.
const noRetries = "none"

// settingInput is an input of the form for a member of the API's retry_policy,
// retention and the like.
type settingInput struct {
	Name, Member, Label, Hint string
	Standard                  string   // the default
	Options                   []string // to choose from; nil: free text
	Value                     string
	Wrong                     string
}

// newSettingInputs makes all inputs, filled from a webhook; nil: empty.
func newSettingInputs(webhook *rest.Webhook) []settingInput {
	inputs := []settingInput{
		{Name: "retry-delays", Member: "retry_policy.delays", Label: "Waits between attempts", Standard: "5s, 15s, 45s, 2m", Hint: "Up to 19, each up to 24h, with commas between them; none is one attempt."},
		{Name: "retry-timeout", Member: "retry_policy.timeout", Label: "An attempt may take", Standard: "10s", Hint: "From 1s to 30s."},
		{Name: "retry-jitter", Member: "retry_policy.jitter_percent", Label: "Jitter", Standard: "0", Hint: "Percent by which waits are lengthened at random, 100 at most."},
		{Name: "delivery-deadline", Member: "delivery_deadline", Label: "Give up after", Standard: "72h", Hint: "From 1s to 720h."},
		{Name: "overflow", Member: "overflow", Label: "When it takes no more", Standard: rest.OverflowSkip, Options: []string{rest.OverflowSkip, rest.OverflowRefuse}, Hint: "Skip passes this webhook over, Refuse refuses the event for everybody."},
		{Name: "retention-succeeded", Member: "retention.succeeded", Label: "Keep after success", Standard: "as the operator says", Hint: "Up to 720h."},
		{Name: "retention-failed", Member: "retention.failed", Label: "Keep after failure", Standard: "as the operator says", Hint: "Up to 720h."},
		{Name: "retention-max-count", Member: "retention.max_count", Label: "Keep at most", Standard: "as the operator says", Hint: "Finished deliveries, 10000 at most."},
		{Name: "retention-record", Member: "retention.record", Label: "Record immediate successes", Standard: rest.RecordBudgeted, Options: []string{rest.RecordBudgeted, rest.RecordAlways, rest.RecordNever}, Hint: "Which deliveries that arrive at once can be seen here later."},
	}
	if webhook == nil {
		return inputs
	}
	delays := strings.Join(webhook.RetryPolicy.Delays, ", ")
	if delays == "" {
		delays = noRetries
	}
	count := ""
	if webhook.Retention.MaxCount != nil {
		count = strconv.Itoa(*webhook.Retention.MaxCount)
	}
	for i, value := range []string{
		delays, webhook.RetryPolicy.Timeout, strconv.Itoa(webhook.RetryPolicy.JitterPercent), webhook.DeliveryDeadline, webhook.Overflow,
		textFrom(webhook.Retention.Succeeded), textFrom(webhook.Retention.Failed), count, webhook.Retention.Record,
	} {
		if inputs[i].Options != nil && value == inputs[i].Standard {
			value = "" // as the choice of the default is sent
		}
		inputs[i].Value = value
	}
	return inputs
}

// readSettingInputs reads the posted inputs. A setting whose input the form lacks keeps its
// value.
func readSettingInputs(form url.Values, webhook *rest.Webhook) []settingInput {
	inputs := newSettingInputs(webhook)
	for i := range inputs {
		if form.Has(inputs[i].Name) {
			inputs[i].Value = strings.TrimSpace(form.Get(inputs[i].Name))
		}
	}
	return inputs
}

// diffSettings returns the settings that differ from the webhook, as the API takes them.
// An empty input restores the default.
func diffSettings(typed []settingInput, webhook *rest.Webhook) (change rest.SettingsChange, defaults []string, err error) {
	values := map[string]any{}
	for i, was := range newSettingInputs(webhook) {
		input := typed[i]
		if input.Value == was.Value {
			continue
		}
		if input.Value == "" {
			defaults = append(defaults, input.Member)
			continue
		}
		value, err := input.restValue()
		if err != nil {
			return change, nil, err
		}
		values[input.Member] = value
	}
	change, err = rest.NewSettingsChange(values)
	return change, defaults, err
}

// restValue is the value as the API takes it.
func (s settingInput) restValue() (any, error) {
	switch s.Name {
	case "retry-delays":
		delays := []string{}
		if s.Value != noRetries {
			for delay := range strings.FieldsFuncSeq(s.Value, func(r rune) bool { return r == ',' || r == ' ' }) {
				delays = append(delays, delay)
			}
		}
		return delays, nil
	case "retry-jitter", "retention-max-count":
		number, err := strconv.Atoi(s.Value)
		if err != nil {
			return nil, &pageError{
				Status: http.StatusUnprocessableEntity, Title: "Something in this is wrong", Detail: s.Label + ": must be a whole number.",
				Fields: []rest.ProblemField{{Field: s.Member, Detail: "must be a whole number"}},
			}
		}
		return number, nil
	}
	return s.Value, nil
}
