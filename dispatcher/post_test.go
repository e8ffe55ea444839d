// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"testing"

	"bbmcp.quietstack.com/webhooks/dispatcher/netguard"
)

func TestAuthority(t *testing.T) {
	t.Parallel()
	policy := netguard.New(netguard.Options{AllowHTTP: true})
	for url, want := range map[string]string{
		"https://example.com":                        "example.com",
		"https://example.com/x":                      "example.com",
		"https://example.com:443/":                   "example.com",
		"https://example.com:0443/":                  "example.com",
		"https://example.com:/":                      "example.com",
		"https://example.com:80/":                    "example.com:80",
		"https://example.com:8443/":                  "example.com:8443",
		"http://example.com:80/":                     "example.com",
		"http://example.com:/":                       "example.com",
		"http://example.com:443/":                    "example.com:443",
		"HTTPS://Example.com.:443/":                  "Example.com.",
		"https://[2606:4700:4700::1111]:443/":        "[2606:4700:4700::1111]",
		"https://[2606:4700:4700::1111]:/":           "[2606:4700:4700::1111]",
		"https://[2606:4700:4700::1111]:8443/?a=b:1": "[2606:4700:4700::1111]:8443",
	} {
		u, err := policy.ParseURL(url, nil)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if got := postAuthority(u); got != want {
			t.Errorf("%s: got %q, want %q", url, got, want)
		}
	}
}
