// SPDX-License-Identifier: Apache-2.0

package rest

import (
	"reflect"
	"testing"
)

func TestNewSettingsChange(t *testing.T) {
	got, err := NewSettingsChange(map[string]any{
		"overflow": OverflowRefuse, "retry_policy.timeout": "5s", "retry_policy.delays": []string{}, "retention.max_count": 3,
	})
	want := SettingsChange{
		Overflow:    new(OverflowRefuse),
		RetryPolicy: &RetryPolicyChange{Timeout: new("5s"), Delays: &[]string{}},
		Retention:   &RetentionChange{MaxCount: new(3)},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	if _, err := NewSettingsChange(map[string]any{"retention.max_count": "three"}); err == nil {
		t.Error("a text is taken for a number")
	}
}
