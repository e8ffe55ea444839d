// SPDX-License-Identifier: Apache-2.0

package destination_test

import (
	"testing"

	"bbmcp.quietstack.com/webhooks/internal/destination"
)

func TestParse(t *testing.T) {
	for name, tt := range map[string]struct{ url, want string }{
		"https has port 443":                    {"https://example.com/hook", "example.com:443"},
		"http has port 80":                      {"http://example.com", "example.com:80"},
		"a port that is named counts":           {"http://example.com:8080/hook", "example.com:8080"},
		"case and a final dot do not count":     {"https://Example.COM./hook", "example.com:443"},
		"an IPv6 address is in brackets":        {"https://[2001:DB8::1]/hook", "[2001:db8::1]:443"},
		"what is no URL is its own destination": {"https://exa mple", "https://exa mple"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := destination.Parse(tt.url); got != tt.want {
				t.Errorf("Parse(%q) = %q, want %q", tt.url, got, tt.want)
			}
		})
	}
}
