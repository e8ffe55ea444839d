// SPDX-License-Identifier: Apache-2.0

package tracing_test

import (
	"strings"
	"testing"

	"bbmcp.quietstack.com/webhooks/internal/tracing"
)

func TestIsTraceParent(t *testing.T) {
	const good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for text, want := range map[string]bool{
		good:                               true,
		"cc" + good[2:]:                    true,
		"ff" + good[2:]:                    false,
		"":                                 false,
		good + "-":                         false,
		good[:54]:                          false,
		strings.ToUpper(good):              false,
		strings.ReplaceAll(good, "-", "_"): false,
		"00-00000000000000000000000000000000-b7ad6b7169203331-01": false,
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01": false,
		"00-0af7651916cd43dd8448eb211c8031-c-b7ad6b7169203331-01": false,
	} {
		if tracing.IsTraceParent(text) != want {
			t.Errorf("%q: want %t", text, want)
		}
	}
}
