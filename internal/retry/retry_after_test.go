// SPDX-License-Identifier: Apache-2.0

package retry_test

import (
	"strings"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/retry"
)

func TestParseRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	const refused = -1 * time.Second
	tests := []struct {
		name   string
		header string
		want   time.Duration // after now
	}{
		{"seconds", "120", 2 * time.Minute},
		{"zero seconds", "0", 0},
		{"leading zeros", "0007", 7 * time.Second},
		{"white space around it", " \t30 ", 30 * time.Second},
		{"exactly an hour", "3600", time.Hour},
		{"more than an hour", "3601", time.Hour},
		{"more than fits an integer", strings.Repeat("9", 400), time.Hour},
		{"the preferred date form", "Sun, 01 Mar 2026 12:05:00 GMT", 5 * time.Minute},
		{"the RFC 850 date form", "Sunday, 01-Mar-26 12:05:00 GMT", 5 * time.Minute},
		{"the asctime date form", "Sun Mar  1 12:05:00 2026", 5 * time.Minute},
		{"a date in the past is now", "Sun, 01 Mar 2020 12:05:00 GMT", 0},
		{"a date far ahead is an hour", "Sun, 01 Mar 2099 12:05:00 GMT", time.Hour},
		{"a two-digit year within 50 years is ahead", "Monday, 01-Mar-60 12:05:00 GMT", time.Hour},
		{"a two-digit year over 50 years ahead is past", "Monday, 01-Mar-94 12:05:00 GMT", 0},
		{"nothing", "", refused},
		{"white space only", "  ", refused},
		{"a sign", "+5", refused},
		{"a negative number", "-5", refused},
		{"a fraction is rounded up", "299.997", 5 * time.Minute},
		{"the least fraction is rounded up", "1.0000000000000000000000000001", 2 * time.Second},
		{"a fraction of zeros adds nothing", "120.000", 2 * time.Minute},
		{"a fraction of nothing", "0.0", 0},
		{"a fraction beyond an hour", "3600.1", time.Hour},
		{"a fraction of what fits no integer", strings.Repeat("9", 400) + ".5", time.Hour},
		{"a fraction without a whole", ".5", refused},
		{"a point without a fraction", "5.", refused},
		{"two points", "1.2.3", refused},
		{"a decimal comma", "1,5", refused},
		{"an exponent", "1e2", refused},
		{"a signed fraction", "-1.5", refused},
		{"a unit", "5s", refused},
		{"two values", "5, 6", refused},
		{"another zone", "Sun, 01 Mar 2026 12:05:00 CET", refused},
		{"RFC 3339", "2026-03-01T12:05:00Z", refused},
		{"Arabic-Indic digits", "٣٠", refused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := refused
			if at, ok := retry.ParseRetryAfter(tt.header, now); ok {
				got = at.Sub(now)
			}
			if got != tt.want {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestTwoDigitYearOfTheCenturyBefore(t *testing.T) {
	// In 2015 the year 70 is 1970, although 2070 is 55 years ahead.
	now := time.Date(2015, 3, 1, 12, 0, 0, 0, time.UTC)
	at, ok := retry.ParseRetryAfter("Sunday, 01-Mar-68 12:05:00 GMT", now)
	if !ok || !at.Equal(now) {
		t.Errorf("got %v %v, want now: 2068 is more than 50 years ahead, so it means 1968", at, ok)
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	for _, s := range []string{"120", "99999999999999999999", "299.997", "0.", "Sun, 01 Mar 2026 12:05:00 GMT", "Sunday, 01-Mar-26 12:05:00 GMT", "Sun Mar  1 12:05:00 2026"} {
		f.Add(s)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, header string) {
		allocated := testing.AllocsPerRun(1, func() { retry.ParseRetryAfter(header, now) })
		if allocated > 20 {
			t.Fatalf("%q costs %v allocations", header, allocated)
		}
		at, ok := retry.ParseRetryAfter(header, now)
		if ok && (at.Before(now) || at.After(now.Add(retry.MaxRetryAfter))) || !ok && !at.IsZero() {
			t.Fatalf("%q gives %v, %v", header, at, ok)
		}
	})
}
