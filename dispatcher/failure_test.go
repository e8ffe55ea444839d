// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"strings"
	"testing"
	"time"
)

// A redirect is not followed, and a person is told where it leads.
func TestRedirectsSayWhereTo(t *testing.T) {
	t.Parallel()
	for location, want := range map[string]string{
		"https://www.example.com/hook":                     " to https://www.example.com/hook",
		"https://me:pw@www.example.com/hook?key=secret#at": " to https://www.example.com/hook",
		"/hook/":                              " to /hook/",
		"https://www.example.com/\x1b[31mred": "",
		"":                                    "",
		"https://[::1":                        "",
		"https://e.example/" + strings.Repeat("a", 3000): " to https://e.example/" + strings.Repeat("a", maxLocationBytes-len("https://e.example/")),
	} {
		got := statusFailure(308, time.Time{}, location)
		if got.reason != ReasonRedirected || got.message != "the endpoint answered 308 Permanent Redirect"+want+"; redirects are not followed" {
			t.Errorf("%q: %+v", location, got)
		}
		if len(got.message) > MaxMessageBytes {
			t.Errorf("%q: %d bytes", location, len(got.message))
		}
	}
}
