// SPDX-License-Identifier: Apache-2.0

package authn

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"bbmcp.quietstack.com/webhooks/test/cost"
)

// What a stranger sends as a token costs time and memory in proportion to its length,
// which the server bounds, and no key of the cluster stands for it.
func FuzzToken(f *testing.F) {
	c, r := newCluster(f)
	good := c.token("first", "system:serviceaccount:a:b")
	signed := good[:strings.LastIndex(good, ".")+1]
	part := func(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }
	many := func(text string) string { return strings.Repeat(text, 30_000/len(text)) }
	for _, seed := range []string{
		good, good + "x", "", "a.b.c", many("."), many("a."), many("A"),
		part(`{"alg":"none"}`) + ".e30.", part(`{"alg":"HS256"}`) + ".e30.AA",
		part(`{"alg":"ES256","kid":"`+many("k")+`"}`) + ".e30.AA",
		part(`{"alg":"ES256","crit":[`+many(`"b64",`)+`"b64"]}`) + ".e30.AA",
		part(`{"alg":"ES256","x":`+many("[")) + ".e30.AA",
		part(`{"alg":"ES256","kid":"first"}`) + "." + part(many(`{"iss":`)) + ".AA",
		part(`{"alg":"ES256","kid":"first"}`) + "." + part(`{"exp":1`+many("0")+`}`) + ".AA",
		part(`{"alg":"ES256","kid":"first"}`) + "." + part(`{"aud":[`+many(`"a",`)+`"a"]}`) + ".AA",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		cost.Linear.Within(t, len(token), func() {
			found, err := r.keys.checkToken(t.Context(), token)
			if _, ok := errors.AsType[*InvalidError](err); err != nil && !ok {
				t.Errorf("%T: %v", err, err)
			}
			if found.verified && !strings.HasPrefix(token, signed) {
				t.Error("a key stands for what it has not signed")
			}
		})
	})
}
