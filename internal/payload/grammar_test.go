// SPDX-License-Identifier: Apache-2.0

package payload_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/payload"
)

// detail returns the Detail of an *Error with this field and reason, or "".
func detail(t *testing.T, err error, field string, reason payload.Reason) string {
	t.Helper()
	if err == nil {
		return ""
	}
	e, ok := errors.AsType[*payload.Error](err)
	if !ok || e.Field != field || e.Reason != reason {
		t.Fatalf("got %+v, want an *Error with %q and %s", err, field, reason)
	}
	return e.Detail
}

func TestValidateEventID(t *testing.T) {
	const characters = `use only letters, digits, "_" and "-"`
	tests := []struct {
		name, id, want string // want "" is valid
	}{
		{"a generated one", "evt_01HM4Q2V7T9Z3X5C8B6N1K0JGA", ""},
		{"all kinds of characters", "_-aZ09", ""},
		{"one character", "-", ""},
		{"64 bytes", strings.Repeat("a", 64), ""},
		{"65 bytes", strings.Repeat("a", 65), "65 bytes, at most 64 are allowed"},
		{"nothing", "", "is empty: " + characters},
		{"a dot", "a.b", characters},
		{"a colon", "a:b", characters},
		{"a line feed at the end", "a\n", characters},
		{"a letter outside ASCII", "é", characters},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := detail(t, payload.ValidateEventID(tt.id), "id", payload.InvalidEventID); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestValidateEventType(t *testing.T) {
	const grammar = `begin with a letter or digit and use only letters, digits, "_", "." and "-"`
	tests := []struct {
		name, eventType, want string // want "" is valid
	}{
		{"one of the shipped", "context.created", ""},
		{"all kinds of characters", "0aZ9_.-", ""},
		{"one character", "a", ""},
		{"a dot at the end", "a.", ""},
		{"128 bytes", strings.Repeat("a", 128), ""},
		{"129 bytes", strings.Repeat("a", 129), "129 bytes, at most 128 are allowed"},
		{"nothing", "", "is empty: " + grammar},
		{"a leading dot", ".a", grammar},
		{"a leading hyphen", "-a", grammar},
		{"a leading underscore", "_a", grammar},
		{"a star", "a.*", grammar},
		{"a quote", `a"b`, grammar},
		{"a line feed at the end", "a\n", grammar},
		{"a letter outside ASCII", "aé", grammar},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := detail(t, payload.ValidateEventType(tt.eventType), "event", payload.InvalidEventType); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestFormatTimestamp(t *testing.T) {
	tests := []struct {
		name string
		time time.Time
		want string
	}{
		{"whole seconds", stamp, "2024-01-15T10:30:00Z"},
		{"milliseconds show three digits", stamp.Add(500 * time.Millisecond), "2024-01-15T10:30:00.500Z"},
		{"the rest is cut, not rounded", stamp.Add(999_999_999), "2024-01-15T10:30:00.999Z"},
		{"less than a millisecond does not show", stamp.Add(999_999), "2024-01-15T10:30:00Z"},
		{"another zone becomes UTC", stamp.In(time.FixedZone("", -5*3600)), "2024-01-15T10:30:00Z"},
		{"before 1970 it is cut downwards too", time.Date(1969, 12, 31, 23, 59, 59, 999_900_000, time.UTC), "1969-12-31T23:59:59.999Z"},
		{"the first moment", time.Time{}, "0001-01-01T00:00:00Z"},
		{"the last millisecond", time.Date(9999, 12, 31, 23, 59, 59, 999_999_999, time.UTC), "9999-12-31T23:59:59.999Z"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := payload.FormatTimestamp(tt.time); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestParseTimestamp(t *testing.T) {
	tests := []struct {
		name, text string
		want       time.Time
	}{
		{"UTC", "2024-01-15T10:30:00Z", stamp},
		{"an offset ahead", "2024-01-15T16:00:00+05:30", stamp},
		{"an offset behind", "2024-01-14T23:30:00-11:00", stamp},
		{"an unknown local offset", "2024-01-15T10:30:00-00:00", stamp},
		{"lower case", "2024-01-15t10:30:00z", stamp},
		{"one fraction digit", "2024-01-15T10:30:00.5Z", stamp.Add(500 * time.Millisecond)},
		{"nine fraction digits", "2024-01-15T10:30:00.123456789Z", stamp.Add(123_456_789)},
		{"more fraction digits than are kept", "2024-01-15T10:30:00.1234567899999999999999999Z", stamp.Add(123_456_789)},
		{"a leap day", "2024-02-29T00:00:00Z", time.Date(2024, 2, 29, 0, 0, 0, 0, time.UTC)},
		{"a leap second", "2016-12-31T23:59:60Z", time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC)},
		{"a leap second with a fraction and an offset", "2017-01-01T00:59:60.25+01:00", time.Date(2017, 1, 1, 0, 0, 0, 250_000_000, time.UTC)},
		{"the first year", "0001-01-01T00:00:00Z", time.Time{}},
		{"the last year", "9999-12-31T23:59:59Z", time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := payload.ParseTimestamp(tt.text)
			if err != nil || got != tt.want.UTC() {
				t.Errorf("got %v, %v; want %v", got, err, tt.want)
			}
		})
	}
}

func TestParseTimestampRefuses(t *testing.T) {
	const (
		syntax = `not RFC 3339: write it as "2024-01-15T10:30:00Z"`
		years  = "outside the years 0001 to 9999 in UTC"
		leap   = "second 60 exists only at 23:59:60 UTC on the last day of a month"
	)
	tests := []struct {
		name, text, want string
	}{
		{"nothing", "", syntax},
		{"a date", "2024-01-15", syntax},
		{"no zone", "2024-01-15T10:30:00", syntax},
		{"no seconds", "2024-01-15T10:30Z", syntax},
		{"a space instead of the T", "2024-01-15 10:30:00Z", syntax},
		{"a comma before the fraction", "2024-01-15T10:30:00,5Z", syntax},
		{"a point without fraction", "2024-01-15T10:30:00.Z", syntax},
		{"an hour of one digit", "2024-01-15T9:30:00Z", syntax},
		{"hour 24", "2024-01-15T24:00:00Z", syntax},
		{"an offset of 24 hours", "2024-01-15T10:30:00+24:00", syntax},
		{"an offset of 60 minutes", "2024-01-15T10:30:00+01:60", syntax},
		{"an offset without colon", "2024-01-15T10:30:00+0100", syntax},
		{"a day that does not exist", "2023-02-29T00:00:00Z", syntax},
		{"a year of five digits", "10000-01-01T00:00:00Z", syntax},
		{"a number", "1705314600", syntax},
		{"something behind it", "2024-01-15T10:30:00Z\n", syntax},
		{"more than 64 bytes", "2024-01-15T10:30:00." + strings.Repeat("0", 50) + "Z", syntax},
		{"the year 0", "0000-12-31T23:59:59Z", years},
		{"the year 0 in UTC", "0001-01-01T00:00:00+00:01", years},
		{"the year 10000 in UTC", "9999-12-31T23:59:59-00:01", years},
		{"a leap second in the middle of a day", "2016-12-31T12:00:60Z", leap},
		{"a leap second in the middle of a month", "2016-12-30T23:59:60Z", leap},
		{"second 61", "2016-12-31T23:59:61Z", syntax},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := payload.ParseTimestamp(tt.text)
			if got := detail(t, err, "timestamp", payload.InvalidTimestamp); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
