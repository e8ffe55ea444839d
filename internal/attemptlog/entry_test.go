// SPDX-License-Identifier: Apache-2.0

package attemptlog

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
)

func TestNewEntry(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 123456789, time.UTC)
	stamp := metav1.NewMicroTime(start.Truncate(time.Microsecond))
	hourLater := metav1.NewMicroTime(start.Add(time.Second + time.Hour).Truncate(time.Microsecond))
	tests := map[string]struct {
		result dispatcher.Result
		want   v1alpha1.Attempt
	}{
		"a success": {
			dispatcher.Result{StartedAt: start, Duration: 12345 * time.Microsecond, StatusCode: 204},
			v1alpha1.Attempt{Number: 2, StartTime: stamp, DurationMilliseconds: 12, ResponseStatus: new(int32(204)), Primary: v1alpha1.SigningKeyCurrent, EndpointRevision: "rev"},
		},
		"no answer": {
			dispatcher.Result{StartedAt: start, Duration: time.Second, Reason: dispatcher.ReasonTimeout, Message: "no answer"},
			v1alpha1.Attempt{Number: 2, StartTime: stamp, DurationMilliseconds: 1000, Reason: "Timeout", Message: "no answer", Primary: v1alpha1.SigningKeyCurrent, EndpointRevision: "rev"},
		},
		"a wait that is too long, and text": {
			dispatcher.Result{
				StartedAt: start, Duration: time.Second, StatusCode: 429, Reason: dispatcher.ReasonThrottled,
				RetryAfter: start.Add(48 * time.Hour), Snippet: strings.Repeat("x", 255) + "é",
			},
			v1alpha1.Attempt{
				Number: 2, StartTime: stamp, DurationMilliseconds: 1000, ResponseStatus: new(int32(429)), Reason: "Throttled",
				RetryAfterTime: &hourLater, Answer: strings.Repeat("x", 255), Primary: v1alpha1.SigningKeyCurrent, EndpointRevision: "rev",
			},
		},
		"a status that is none": {
			dispatcher.Result{StartedAt: start, StatusCode: 42, Reason: dispatcher.ReasonResponseInvalid},
			v1alpha1.Attempt{Number: 2, StartTime: stamp, Reason: "ResponseInvalid", Primary: v1alpha1.SigningKeyCurrent, EndpointRevision: "rev"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if got := NewEntry(2, &tt.result, v1alpha1.SigningKeyCurrent, "rev"); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v\nwant %+v", got, tt.want)
			}
		})
	}
}

func TestBoundEntry(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(after time.Duration) metav1.MicroTime { return metav1.NewMicroTime(now.Add(after)) }
	lastYear := metav1.NewMicroTime(time.Date(9999, 12, 31, 23, 59, 59, 999999000, time.UTC))
	for name, c := range map[string]struct{ said, want v1alpha1.Attempt }{
		"what can have been": {
			v1alpha1.Attempt{Number: 3, StartTime: at(-time.Hour), DurationMilliseconds: 10_000, RetryAfterTime: new(at(time.Minute))},
			v1alpha1.Attempt{Number: 3, StartTime: at(-time.Hour), DurationMilliseconds: 10_000, RetryAfterTime: new(at(time.Minute))},
		},
		"the last year": {
			v1alpha1.Attempt{StartTime: lastYear, RetryAfterTime: &lastYear},
			v1alpha1.Attempt{StartTime: at(0), RetryAfterTime: new(at(time.Hour))},
		},
		"no time":             {v1alpha1.Attempt{RetryAfterTime: new(metav1.MicroTime{})}, v1alpha1.Attempt{StartTime: at(0)}},
		"an eternity":         {v1alpha1.Attempt{StartTime: at(0), DurationMilliseconds: math.MaxInt64}, v1alpha1.Attempt{StartTime: at(0), DurationMilliseconds: 30_000}},
		"a negative duration": {v1alpha1.Attempt{StartTime: at(0), DurationMilliseconds: math.MinInt64}, v1alpha1.Attempt{StartTime: at(0)}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := BoundEntry(c.said, now); !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestIsEntryOf(t *testing.T) {
	now := metav1.NewMicroTime(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
	earlier := metav1.NewMicroTime(now.Add(-time.Second))
	for name, c := range map[string]struct {
		made    v1alpha1.Attempt
		enabled *metav1.MicroTime
		want    bool
	}{
		"the same revision":                     {v1alpha1.Attempt{EndpointRevision: "b", StartTime: earlier}, &now, true},
		"another one":                           {v1alpha1.Attempt{EndpointRevision: "a", StartTime: now}, nil, false},
		"not known, never enabled since":        {v1alpha1.Attempt{StartTime: earlier}, nil, true},
		"not known, before it was last enabled": {v1alpha1.Attempt{StartTime: earlier}, &now, false},
		"not known, after it was last enabled":  {v1alpha1.Attempt{StartTime: now}, &earlier, true},
	} {
		if got := IsEntryOf(&c.made, "b", c.enabled); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
