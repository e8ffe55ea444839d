// SPDX-License-Identifier: Apache-2.0

package retry

import (
	"strconv"
	"strings"
	"time"
)

// The three forms of an HTTP-date (RFC 9110, section 5.6.7).
var httpDateLayouts = [...]string{ //nolint:gochecknoglobals // never changed
	"Mon, 02 Jan 2006 15:04:05 GMT",  // IMF-fixdate
	"Monday, 02-Jan-06 15:04:05 GMT", // RFC 850, obsolete
	"Mon Jan _2 15:04:05 2006",       // asctime, obsolete
}

// maxHeaderBytes is longer than every value that makes sense.
const maxHeaderBytes = 1024

// ParseRetryAfter reads the value of a Retry-After header (RFC 9110, section
// 10.2.3): seconds to wait from now, or an HTTP-date. The time returned is
// never before now and never more than MaxRetryAfter after it. A fraction, which
// the RFC does not know but servers send, is rounded up to whole seconds. ok is
// false for anything else, such as an empty or signed value; such a header counts
// as absent.
func ParseRetryAfter(header string, now time.Time) (at time.Time, ok bool) {
	if len(header) > maxHeaderBytes {
		return time.Time{}, false
	}
	header = strings.Trim(header, " \t")
	whole, fraction, fractional := strings.Cut(header, ".")
	if isDigits(whole) && (!fractional || isDigits(fraction)) {
		limit := int64(MaxRetryAfter / time.Second)
		seconds, err := strconv.ParseInt(whole, 10, 64)
		if err != nil { // digits only, so it is out of range
			seconds = limit
		}
		seconds = min(seconds, limit)
		if strings.Trim(fraction, "0") != "" {
			seconds = min(seconds+1, limit)
		}
		return now.Add(time.Duration(seconds) * time.Second), true
	}
	for _, layout := range httpDateLayouts {
		t, err := time.Parse(layout, header)
		if err != nil {
			continue
		}
		// A two-digit year that seems more than 50 years ahead is the most
		// recent past year with those digits.
		if layout == httpDateLayouts[1] && t.After(now.AddDate(50, 0, 0)) {
			t = t.AddDate(-100, 0, 0)
		}
		return boundDate(t, now), true
	}
	return time.Time{}, false
}

func boundDate(t, now time.Time) time.Time {
	if t.Before(now) {
		return now
	}
	return BoundRetryAfter(t, now)
}

// BoundRetryAfter is the end of a pause that an endpoint asked for, at most MaxRetryAfter
// after a time. Whatever takes a Retry-After from an answer or an object bounds it so.
func BoundRetryAfter(end, from time.Time) time.Time {
	if limit := from.Add(MaxRetryAfter); end.After(limit) {
		return limit
	}
	return end
}

func isDigits(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}
