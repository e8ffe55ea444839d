// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/retry"
	"bbmcp.quietstack.com/webhooks/internal/settings"
)

// setting is a member of requests, apart from url, events and description.
type setting struct {
	name         []string // in the REST API
	path         []string // in the spec of a Webhook
	isDuration   bool     // a duration or a list of durations
	defaultValue any      // default of the CRD; nil: none
}

// allSettings lists every setting.
func allSettings() []setting {
	return []setting{
		{[]string{"retry_policy", "delays"}, []string{"retryPolicy", "delays"}, true, nil},
		{[]string{"retry_policy", "timeout"}, []string{"retryPolicy", "timeout"}, true, formatSettingDuration(retry.DefaultPolicy().Timeout)},
		{[]string{"retry_policy", "jitter_percent"}, []string{"retryPolicy", "jitterPercent"}, false, int64(0)},
		{[]string{"delivery_deadline"}, []string{"deliveryDeadline"}, true, formatSettingDuration(settings.Deadline(nil))},
		{[]string{"overflow"}, []string{"overflow"}, false, rest.OverflowSkip},
		{[]string{"retention", "succeeded"}, []string{"retention", "succeeded"}, true, nil},
		{[]string{"retention", "failed"}, []string{"retention", "failed"}, true, nil},
		{[]string{"retention", "max_count"}, []string{"retention", "maxCount"}, false, nil},
		{[]string{"retention", "record"}, []string{"retention", "record"}, false, rest.RecordBudgeted},
	}
}

// settingFieldName is the REST name of a field of the spec, such as retry_policy.delays[1]
// for retryPolicy.delays[1].
func settingFieldName(field string) string {
	for _, s := range allSettings() {
		if rest, ok := strings.CutPrefix(field, strings.Join(s.path, ".")); ok && (rest == "" || rest[0] == '[') {
			return strings.Join(s.name, ".") + rest
		}
	}
	return field
}

// fieldChange is a new value of a field of the spec; nil removes the field, which then has
// its default.
type fieldChange struct {
	path  []string
	value any // as JSON has it, with int64 for numbers
}

// parseSettings reads the settings from the body of a request that matches its schema. A
// null member stands for the default.
func parseSettings(body []byte) ([]fieldChange, error) {
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	var members map[string]any
	if err := decoder.Decode(&members); err != nil {
		return nil, newProblem(http.StatusBadRequest, reasonBodyInvalid, "body: is not JSON")
	}
	var changes []fieldChange
	for _, s := range allSettings() {
		value, given := findNestedField(members, s.name)
		if !given {
			continue
		}
		if s.isDuration {
			if err := checkSettingDurations(strings.Join(s.name, "."), value); err != nil {
				return nil, err
			}
		}
		if number, ok := value.(json.Number); ok {
			whole, err := number.Int64()
			if err != nil {
				return nil, newFieldProblem(http.StatusUnprocessableEntity, reasonFieldInvalid, strings.Join(s.name, "."), "must be a whole number without exponent")
			}
			value = whole
		}
		if value == nil {
			value = s.defaultValue
		}
		changes = append(changes, fieldChange{path: s.path, value: value})
	}
	return changes, nil
}

// durationForm is the CRD's pattern for durations. A text that matches may still be too
// large for a time.Duration.
var durationForm = regexp.MustCompile(`^(\d+(\.\d+)?(ms|s|m|h))+$`)

func checkSettingDurations(field string, value any) error {
	texts, isList := value.([]any)
	if !isList {
		texts = []any{value}
	}
	for i, text := range texts {
		duration, isText := text.(string)
		_, err := time.ParseDuration(duration)
		if text == nil && !isList || isText && err == nil && durationForm.MatchString(duration) {
			continue
		}
		if isList {
			field = fmt.Sprintf("%s[%d]", field, i)
		}
		return newFieldProblem(http.StatusUnprocessableEntity, reasonFieldInvalid, field, `must be a duration such as "10s", "2m" or "1h30m"`)
	}
	return nil
}

// applySettings sets the settings of a webhook that is being created.
func applySettings(spec *v1alpha1.WebhookSpec, changes []fieldChange) error {
	members := map[string]any{}
	for _, c := range changes {
		if c.value != nil {
			setNestedField(members, c.path, c.value)
		}
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(members, spec); err != nil {
		return fmt.Errorf("read the settings: %w", err)
	}
	return nil
}

// equalSettings compares two values of a field; the durations "90s" and "1m30s" are equal.
func equalSettings(a, b any) bool {
	listA, isListA := a.([]any)
	listB, isListB := b.([]any)
	if isListA && isListB {
		return slices.EqualFunc(listA, listB, equalSettings)
	}
	if isListA || isListB {
		return false
	}
	textA, isTextA := a.(string)
	textB, isTextB := b.(string)
	if isTextA && isTextB {
		durationA, errA := time.ParseDuration(textA)
		durationB, errB := time.ParseDuration(textB)
		return textA == textB || errA == nil && errB == nil && durationA == durationB
	}
	return a == b
}

// presentSettings adds the settings of a webhook to its REST representation, defaults
// filled in.
func presentSettings(webhook *v1alpha1.Webhook, shown *rest.Webhook) {
	policy := settings.RetryPolicy(webhook)
	shown.RetryPolicy = rest.RetryPolicy{Delays: []string{}, Timeout: formatSettingDuration(policy.Timeout), JitterPercent: policy.JitterPercent}
	for _, delay := range policy.Delays {
		shown.RetryPolicy.Delays = append(shown.RetryPolicy.Delays, formatSettingDuration(delay))
	}
	shown.DeliveryDeadline = formatSettingDuration(settings.Deadline(webhook))
	shown.Overflow = cmp.Or(string(webhook.Spec.Overflow), rest.OverflowSkip)
	shown.Retention.Record = string(settings.RecordPolicy(webhook))
	if given := webhook.Spec.Retention; given != nil {
		shown.Retention.Succeeded, shown.Retention.Failed = nullableDuration(given.Succeeded), nullableDuration(given.Failed)
		shown.Retention.MaxCount = nullableNumber(given.MaxCount)
	}
}

// formatSettingDuration formats a duration without units that are zero: "2m" and not "2m0s".
func formatSettingDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
