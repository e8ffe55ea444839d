// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"strings"
	"testing"
)

func TestURLsWithSecretsGetAWarning(t *testing.T) {
	for endpoint, want := range map[string]string{
		"https://example.com/hooks/bbmcp":                                            "",
		"https://example.com/hooks?tenant=a&keyboard=qwerty&design=b":                "",
		"https://example.com/hooks/0d1d7b5f-0000-4000-8000-000000000000":             "",
		"https://example.com/hooks/receive-all-the-things-of-our-shop":               "",
		"https://example.com/hooks/wh_3b1f0f6f2a9c":                                  "",
		"https://example.com/hooks?token=abc":                                        "query",
		"https://example.com/hooks?a=b&X-Api-Key=abc":                                "query",
		"https://example.com/hooks?access_token=abc":                                 "query",
		"https://example.com/hooks?sig=abc":                                          "query",
		"https://hooks.example.com/services/T0000/B0000/aB3dE6gH9jK2mN5pQ8rS1tU4vW7": "path",
		"https://example.com/%zz":                                                    "",
	} {
		got := secretURLWarnings(endpoint)
		if (want == "") != (len(got) == 0) {
			t.Errorf("%s: %v", endpoint, got)
			continue
		}
		for _, warning := range got {
			shown := strings.Contains(warning.Detail, "aB3d") || strings.Contains(warning.Detail, "abc")
			if warning.Field != "url" || warning.Reason != reasonURLShowsSecret || !strings.Contains(warning.Detail, want) || shown {
				t.Errorf("%s: %+v", endpoint, warning)
			}
		}
	}
}
