// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"maps"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The vector that the Standard Webhooks project publishes, and its hex HMAC as
// openssl dgst -sha256 -hmac computes it.
const (
	vectorSecret   = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	vectorBody     = `{"test": 2432232314}`
	vectorHex      = "80ec8a89ce3cd22133a1066caecb4d04fea7467657c8514d717ec42c38a5c94c"
	vectorStandard = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

	plainSecret = "a plain secret of 27 bytes."
	plainHex    = "661972bfc548843c69fb8c3a6e2263f68b3f73894c4eb719b73f7a507d768209"
)

func TestVerify(t *testing.T) {
	t.Parallel()
	const ours, next, standard, stamp = "X-BBMCP-Signature", "X-BBMCP-Signature-Next", "webhook-signature", "webhook-timestamp"
	all := map[string]string{ours: vectorHex, "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", stamp: "1614265330", standard: vectorStandard}
	with := func(changes ...string) map[string]string {
		changed := maps.Clone(all)
		for i := 0; i < len(changes); i += 2 {
			changed[changes[i]] = changes[i+1]
		}
		return changed
	}
	okStamp := verifyCheck{stamp, resultOK, "2021-02-25T15:02:10Z, 1m0s before 2021-02-25T15:03:10Z"}
	okOurs, okStandard := verifyCheck{ours, resultOK, "HMAC-SHA256 of the body"}, verifyCheck{standard, resultOK, "HMAC-SHA256 of id.timestamp.body (Standard Webhooks)"}
	const other = "body, webhook-id or webhook-timestamp is not what was signed, or the secret is another"
	both := func(why string) []verifyCheck {
		return []verifyCheck{{ours, resultFailed, why}, {standard, resultFailed, why}, okStamp}
	}
	for _, test := range []struct {
		name         string
		header       map[string]string
		secret, body string
		late         time.Duration
		tolerance    time.Duration
		want         []verifyCheck
	}{
		{"all is right", all, vectorSecret, vectorBody, 0, 0, []verifyCheck{okOurs, okStandard, okStamp}},
		{"another secret", all, plainSecret, vectorBody, 0, 0, []verifyCheck{
			{ours, resultFailed, "the body is not what was signed, or the secret is another"}, {standard, resultFailed, other}, okStamp,
		}},
		{"one byte of the body", all, vectorSecret, `{"test": 2432232315}`, 0, 0, []verifyCheck{
			{ours, resultFailed, "the body is not what was signed, or the secret is another"}, {standard, resultFailed, other}, okStamp,
		}},
		{"a line break at the end", all, vectorSecret, vectorBody + "\n", 0, 0, both("matches without the line break at the end of the body: whatever captured it added that")},
		{"a byte order mark", all, vectorSecret, "\ufeff" + vectorBody, 0, 0, both("matches without the byte order mark before the body: whatever captured it added that")},
		{"the prefix left out", all, strings.TrimPrefix(vectorSecret, "whsec_"), vectorBody, 0, 0, both("matches the secret with whsec_ before it: the prefix is part of the secret")},
		{"only our header", map[string]string{ours: vectorHex}, vectorSecret, vectorBody, 0, 0, []verifyCheck{
			okOurs, {standard, resultNone, "not checked"}, {stamp, resultNone, "not checked"},
		}},
		{"only the standard's headers", with(ours, ""), vectorSecret, vectorBody, 0, 0, []verifyCheck{{ours, resultNone, "not checked"}, okStandard, okStamp}},
		{"a rotation, with the old secret", with(next, plainHex, standard, vectorStandard+" v1,fPWGRNZ5t9hhBfpUAy1lYDJImnxILqz0bcAgzt491W4="), vectorSecret, vectorBody, 0, 0, []verifyCheck{
			okOurs, {next, resultOK, "signed with the other secret of the rotation that is under way"}, okStandard, okStamp,
		}},
		{"a rotation, with the new secret", with(next, plainHex, standard, vectorStandard+" v1,fPWGRNZ5t9hhBfpUAy1lYDJImnxILqz0bcAgzt491W4="), plainSecret, vectorBody, 0, 0, []verifyCheck{
			{ours, resultOK, "signed with the other secret of the rotation that is under way"}, {next, resultOK, "HMAC-SHA256 of the body"}, okStandard, okStamp,
		}},
		{"a rotation, with neither", with(next, plainHex), plainSecret + "!", vectorBody, 0, 0, []verifyCheck{
			{ours, resultFailed, "the body is not what was signed, or the secret is another"},
			{next, resultFailed, "the body is not what was signed, or the secret is another"}, {standard, resultFailed, other}, okStamp,
		}},
		{"another event", with("webhook-id", "msg_other"), vectorSecret, vectorBody, 0, 0, []verifyCheck{okOurs, {standard, resultFailed, other}, okStamp}},
		{"no event id", with("webhook-id", ""), vectorSecret, vectorBody, 0, 0, []verifyCheck{okOurs, {standard, resultFailed, "cannot be checked without webhook-id, which is signed too"}, okStamp}},
		{"no timestamp", with(stamp, ""), vectorSecret, vectorBody, 0, 0, []verifyCheck{
			okOurs, {standard, resultFailed, "cannot be checked without webhook-timestamp, which is signed too"}, {stamp, resultNone, "not checked"},
		}},
		{"a timestamp of another form", with(stamp, "2021-02-25"), vectorSecret, vectorBody, 0, 0, []verifyCheck{
			okOurs, {standard, resultFailed, "cannot be checked without webhook-timestamp, which is signed too"}, {stamp, resultFailed, `"2021-02-25" is not a number of seconds since 1970`},
		}},
		{"old", all, vectorSecret, vectorBody, time.Hour, 0, []verifyCheck{okOurs, okStandard, {
			stamp, resultFailed,
			"2021-02-25T15:02:10Z, 1h1m0s before 2021-02-25T16:03:10Z: more than 5m0s away; a receiver would take it for a replay (--at says when it arrived)",
		}}},
		{"from the future", all, vectorSecret, vectorBody, -time.Hour, 0, []verifyCheck{okOurs, okStandard, {
			stamp, resultFailed,
			"2021-02-25T15:02:10Z, 59m0s after 2021-02-25T14:03:10Z: more than 5m0s away; a receiver would take it for a replay (--at says when it arrived)",
		}}},
		{"old, but that does not matter", all, vectorSecret, vectorBody, time.Hour, -1, []verifyCheck{okOurs, okStandard, {stamp, resultOK, "2021-02-25T15:02:10Z; its distance is not checked"}}},
		{"in upper case", with(ours, strings.ToUpper(vectorHex)), vectorSecret, vectorBody, 0, 0, []verifyCheck{{ours, resultFailed, "has upper-case letters: it was changed on the way"}, okStandard, okStamp}},
		{"cut", with(ours, vectorHex[:60]), vectorSecret, vectorBody, 0, 0, []verifyCheck{
			{ours, resultFailed, "is not 64 hexadecimal digits but 60 characters: was it cut or encoded otherwise?"}, okStandard, okStamp,
		}},
		{"another product's", with(ours, "sha256="+vectorHex), vectorSecret, vectorBody, 0, 0, []verifyCheck{
			{ours, resultFailed, "begins with sha256=, which this product does not send"}, okStandard, okStamp,
		}},
		{"another version of the standard", with(standard, "v1a,AAAA"), vectorSecret, vectorBody, 0, 0, []verifyCheck{
			okOurs, {standard, resultFailed, "holds no signature of the form v1,<base64>"}, okStamp,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := &capture{
				body: []byte(test.body), secret: test.secret, header: http.Header{},
				at: time.Unix(1614265390, 0).Add(test.late), tolerance: 5 * time.Minute,
			}
			if test.tolerance < 0 {
				c.tolerance = 0
			}
			for name, value := range test.header {
				if value != "" {
					c.header.Set(name, value)
				}
			}
			got, err := c.check()
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, err := (&capture{header: http.Header{}, secret: plainSecret}).check(); err == nil {
		t.Error("a request without signatures: no error")
	}
}
