// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/http"
	"reflect"
	"testing"
	"time"
)

func TestPreferences(t *testing.T) {
	for _, tt := range []struct {
		headers  []string
		standard time.Duration
		want     preference
	}{
		{nil, time.Second, preference{wait: time.Second}},
		{[]string{"respond-async"}, time.Second, preference{applied: "respond-async"}},
		{[]string{"Respond-Async; x=y"}, time.Second, preference{applied: "respond-async"}},
		{[]string{"wait=3"}, time.Second, preference{wait: 3 * time.Second, applied: "wait=3"}},
		{[]string{`wait = "3"`}, time.Second, preference{wait: 3 * time.Second, applied: "wait=3"}},
		{[]string{"wait=0"}, time.Second, preference{applied: "wait=0"}},
		{[]string{"wait=3, wait=4"}, time.Second, preference{wait: 3 * time.Second, applied: "wait=3"}},
		{[]string{"wait=3", "wait=4"}, time.Second, preference{wait: 3 * time.Second, applied: "wait=3"}},
		{[]string{"wait=99999"}, time.Second, preference{wait: 10 * time.Second, applied: "wait=10"}},
		{[]string{"respond-async", "wait=2"}, time.Second, preference{wait: 2 * time.Second, applied: "wait=2"}},
		{[]string{"wait=-1"}, time.Second, preference{wait: time.Second}},
		{[]string{"wait=1.5", "wait"}, time.Second, preference{wait: time.Second}},
		{[]string{"handling=lenient, return=minimal", ""}, time.Second, preference{wait: time.Second}},
		{[]string{"wait=3"}, 0, preference{}},
		{[]string{"respond-async"}, 0, preference{applied: "respond-async"}},
	} {
		if got := parsePrefer(http.Header{"Prefer": tt.headers}, tt.standard); !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%q with %s: got %+v, want %+v", tt.headers, tt.standard, got, tt.want)
		}
	}
}
