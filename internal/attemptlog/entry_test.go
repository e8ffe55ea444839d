// SPDX-License-Identifier: Apache-2.0

package attemptlog

import (
	"reflect"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/dispatcher"
)

func TestEntry(t *testing.T) {
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
			if got := Entry(2, &tt.result, v1alpha1.SigningKeyCurrent, "rev"); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v\nwant %+v", got, tt.want)
			}
		})
	}
}
