// SPDX-License-Identifier: Apache-2.0

package payload

import (
	"strings"
	"time"
)

const (
	secondsLayout      = "2006-01-02T15:04:05Z"
	millisecondsLayout = "2006-01-02T15:04:05.000Z"
)

// FormatTimestamp writes t as RFC 3339 in UTC with "Z", cut, not rounded, to
// milliseconds: three digits, which show only when not zero. It is meant for
// the years 0001 to 9999; Build refuses others.
func FormatTimestamp(t time.Time) string {
	t = t.UTC().Truncate(time.Millisecond)
	if t.Nanosecond() == 0 {
		return t.Format(secondsLayout)
	}
	return t.Format(millisecondsLayout)
}

// ParseTimestamp reads any RFC 3339 date-time (section 5.6) whose instant lies
// in the years 0001 to 9999 of UTC: any offset, "T" and "Z" in either case,
// fraction digits (nine are kept), 64 bytes in all. A leap second, 23:59:60 at
// the end of a month in UTC, is taken as the second after it, as POSIX clocks
// do. The result is in UTC. Errors are *Error with the field "timestamp".
func ParseTimestamp(s string) (time.Time, error) {
	refuse := func(detail string) (time.Time, error) {
		return time.Time{}, &Error{Field: memberTimestamp, Reason: InvalidTimestamp, Detail: detail}
	}
	const maxBytes = 64
	const advice = `not RFC 3339: write it as "2024-01-15T10:30:00Z"`
	if len(s) > maxBytes {
		return refuse(advice)
	}
	s = strings.ToUpper(s)
	leap := false
	const secondsAt, secondsEnd = len("2006-01-02T15:04:"), len("2006-01-02T15:04:05")
	if len(s) > secondsEnd && s[secondsAt:secondsEnd] == "60" {
		s, leap = s[:secondsAt]+"59"+s[secondsEnd:], true
	}
	if !hasTimestampShape(s) {
		return refuse(advice)
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return refuse(advice)
	}
	t = t.UTC()
	if leap {
		t = t.Add(time.Second)
		if t.Day() != 1 || t.Hour() != 0 || t.Minute() != 0 || t.Second() != 0 {
			return refuse("second 60 exists only at 23:59:60 UTC on the last day of a month")
		}
	}
	if !isTimestampInRange(t) {
		return refuse("outside the years 0001 to 9999 in UTC")
	}
	return t, nil
}

// hasTimestampShape reports whether s is an RFC 3339 date-time but for the ranges of its
// fields before the offset. The time package alone takes more than that: a
// comma before the fraction, hours of one digit, offsets of a day and longer.
func hasTimestampShape(s string) bool {
	rest, ok := cutTimestampShape(s, "0000-00-00T00:00:00")
	if !ok {
		return false
	}
	if fraction, ok := strings.CutPrefix(rest, "."); ok {
		if rest = strings.TrimLeft(fraction, "0123456789"); rest == fraction {
			return false
		}
	}
	if rest == "Z" {
		return true
	}
	offset, ok := strings.CutPrefix(strings.Replace(rest, "-", "+", 1), "+")
	if !ok {
		return false
	}
	rest, ok = cutTimestampShape(offset, "00:00")
	return ok && rest == "" && offset[:2] < "24" && offset[3:] < "60"
}

// cutTimestampShape returns what follows a beginning of s in which a digit stands for
// each 0 of shape and all else is equal.
func cutTimestampShape(s, shape string) (rest string, ok bool) {
	if len(s) < len(shape) {
		return "", false
	}
	for i, c := range []byte(shape) {
		if isDigit(s[i]) != (c == '0') || c != '0' && s[i] != c {
			return "", false
		}
	}
	return s[len(shape):], true
}

func isTimestampInRange(t time.Time) bool {
	year := t.UTC().Year()
	return 1 <= year && year <= 9999
}
