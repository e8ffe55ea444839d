// SPDX-License-Identifier: Apache-2.0

package signature_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
)

func whsec(n int) string {
	return signature.StandardPrefix + base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xfb}, n))
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, secret string
		want         string // part of the error; empty: valid
	}{
		{"sixteen bytes are enough", strings.Repeat("a", 16), ""},
		{"fifteen are not", strings.Repeat("a", 15), "shorter than 16"},
		{"nothing at all is too short", "", "shorter than 16"},
		{"256 bytes are the most", strings.Repeat("a", 256), ""},
		{"257 are too many", strings.Repeat("a", 257), "longer than 256"},
		{"bytes are counted, not characters", strings.Repeat("ü", 8), ""},
		{"a line break at the end", strings.Repeat("a", 20) + "\n", "white space"},
		{"a space at the beginning", " " + strings.Repeat("a", 20), "white space"},
		{"a no-break space at the end", strings.Repeat("a", 20) + "\u00a0", "white space"},
		{"white space inside is part of the secret", "correct horse battery staple", ""},
		{"whsec_ with a key of 24 bytes", whsec(24), ""},
		{"whsec_ with a key of 64 bytes", whsec(64), ""},
		{"whsec_ with a key of 23 bytes", whsec(23), "24 to 64"},
		{"whsec_ with a key of 65 bytes", whsec(65), "24 to 64"},
		{"whsec_ alone, filled up with other text", "whsec_not-base64-at-all!", "not standard base64"},
		{"whsec_ with base64 cut short", strings.TrimRight(whsec(32), "="), "not standard base64"},
		{"whsec_ in the URL alphabet", strings.ReplaceAll(whsec(32), "+", "-"), "not standard base64"},
		{"whsec_ with a line break inside", whsec(32)[:20] + "\n" + whsec(32)[20:], "not standard base64"},
		{"whsec_ in double quotes", `"` + whsec(32) + `"`, "quotes"},
		{"whsec_ in single quotes", "'" + whsec(32) + "'", "quotes"},
		{"another secret in quotes", `"correct horse battery staple"`, "quotes"},
		{"in typographic quotes", "“correct horse battery staple”", "quotes"},
		{"whsec_ behind a quote", `"` + whsec(32), "before whsec_"},
		{"a quote at one end is part of the secret", `"correct horse battery staple`, ""},
		{"quotes inside are part of the secret", `correct "horse" battery staple`, ""},
		{"base64 of whsec_", base64.StdEncoding.EncodeToString([]byte(whsec(32))), "base64 of"},
		{"with a line break that was encoded, too", base64.StdEncoding.EncodeToString([]byte(whsec(32) + "\n")), "base64 of"},
		{"with quotes that were", base64.StdEncoding.EncodeToString([]byte(`"` + whsec(32) + `"`)), "base64 of"},
		{"without padding", strings.TrimRight(base64.StdEncoding.EncodeToString([]byte(whsec(32)+"\n")), "="), "base64 of"},
		{"in the URL alphabet", base64.URLEncoding.EncodeToString([]byte("whsec_" + strings.Repeat("~~~?", 8))), "base64 of"},
		{"base64 of base64 of whsec_", base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString([]byte(whsec(32))))), "base64 of"},
		{"hex of whsec_", hex.EncodeToString([]byte(whsec(32))), "hex of"},
		{"base64 of anything else is an ordinary secret", base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{0xfb}, 32)), ""},
		{"hex of anything else is one", strings.Repeat("0123456789abcdef", 4), ""},
		{"a line of a file of variables", "SECRET=" + whsec(32), "before whsec_"},
		{"whsec_ with a key that holds whsec_ again", "whsec_" + whsec(32), "not standard base64"},
		{"a byte order mark", "\ufeff" + strings.Repeat("a", 20), "invisible"},
		{"bytes that are no text are part of the secret", strings.Repeat("a", 20) + "\xff\x00", ""},
		{"a zero-width space at the end", whsec(32) + "\u200b", "invisible"},
		{"another case of the prefix is an ordinary secret", "WHSEC_not-base64-at-all!", ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := signature.ValidateSecret(test.secret)
			if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want %q", err, test.want)
			}
			if err != nil && len(test.secret) > 8 && strings.Contains(err.Error(), strings.TrimLeft(strings.TrimPrefix(test.secret, "whsec_"), `"'“`)[:8]) {
				t.Errorf("error shows the secret: %v", err)
			}
		})
	}
}

func TestGenerate(t *testing.T) {
	t.Parallel()
	secret, err := signature.GenerateSecret(bytes.NewReader(bytes.Repeat([]byte{1}, 32)))
	if err != nil || secret.Reveal() != "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=" {
		t.Errorf("got %q, %v", secret.Reveal(), err)
	}
	if err := signature.ValidateSecret(secret.Reveal()); err != nil {
		t.Errorf("generated secret: %v", err)
	}
	if secret, err := signature.GenerateSecret(bytes.NewReader(make([]byte, 31))); err == nil || !secret.IsZero() {
		t.Errorf("a source that runs dry: got %v, %v", secret.IsZero(), err)
	}
}

// The vector that the Standard Webhooks project publishes with its libraries.
const (
	vectorSecret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	vectorID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	vectorUnix      = 1614265330
	vectorBody      = `{"test": 2432232314}`
	vectorSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

func TestSign(t *testing.T) {
	t.Parallel()
	const (
		// Computed with openssl dgst -sha256 -hmac.
		vectorHex     = "80ec8a89ce3cd22133a1066caecb4d04fea7467657c8514d717ec42c38a5c94c"
		plainHex      = "661972bfc548843c69fb8c3a6e2263f68b3f73894c4eb719b73f7a507d768209"
		plainStandard = "v1,fPWGRNZ5t9hhBfpUAy1lYDJImnxILqz0bcAgzt491W4="
	)
	standard, plain := signature.NewSecret(vectorSecret), signature.NewSecret("a plain secret of 27 bytes.")
	at := time.Unix(vectorUnix, 999)

	for _, test := range []struct {
		name string
		keys signature.Keys
		want signature.Headers
	}{
		{"the published vector", signature.Keys{Primary: standard}, signature.Headers{
			Signature: vectorHex, WebhookTimestamp: "1614265330", WebhookSignature: vectorSignature,
		}},
		{"a rotation signs with both, primary first", signature.Keys{Primary: plain, Secondary: standard}, signature.Headers{
			Signature: plainHex, SignatureNext: vectorHex, WebhookTimestamp: "1614265330", WebhookSignature: plainStandard + " " + vectorSignature,
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got, err := test.keys.Sign(vectorID, at, []byte(vectorBody))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestSignRefusesSecretsThatBreakTheGrammar(t *testing.T) {
	t.Parallel()
	good, bad := signature.NewSecret(whsec(32)), signature.NewSecret("whsec_nope-nope-nope-nope")
	for name, keys := range map[string]signature.Keys{
		"no primary": {Secondary: good}, "bad primary": {Primary: bad}, "bad secondary": {Primary: good, Secondary: bad},
	} {
		got, err := keys.Sign("evt_1", time.Unix(1, 0), []byte("{}"))
		if err == nil || got != (signature.Headers{}) || strings.Contains(err.Error(), "nope") {
			t.Errorf("%s: got %+v, %v", name, got, err)
		}
	}
}

func TestStandardWebhooksLibraryVerifies(t *testing.T) {
	t.Parallel()
	body := []byte(`{"event":"context.created","data":{"n":1}}`)
	for _, secrets := range [][2]string{{whsec(32), ""}, {whsec(24), whsec(64)}, {"sixteen bytes...", whsec(40)}, {whsec(40), "a\xff raw secret, not UTF-8"}} {
		keys := signature.Keys{Primary: signature.NewSecret(secrets[0]), Secondary: signature.NewSecret(secrets[1])}
		headers, err := keys.Sign("evt_01", time.Now(), body)
		if err != nil {
			t.Fatal(err)
		}
		h := http.Header{}
		h.Set(signature.HeaderWebhookID, "evt_01")
		h.Set(signature.HeaderWebhookTimestamp, headers.WebhookTimestamp)
		h.Set(signature.HeaderWebhookSignature, headers.WebhookSignature)
		for _, secret := range secrets {
			if secret == "" {
				continue
			}
			webhook, err := oracle(secret)
			if err != nil {
				t.Fatal(err)
			}
			if err := webhook.Verify(body, h); err != nil {
				t.Errorf("secret of %d bytes: %v", len(secret), err)
			}
			if err := webhook.Verify(append([]byte(" "), body...), h); err == nil {
				t.Errorf("secret of %d bytes: another body verifies", len(secret))
			}
		}
	}
}

func oracle(secret string) (*standardwebhooks.Webhook, error) {
	if strings.HasPrefix(secret, signature.StandardPrefix) {
		return standardwebhooks.NewWebhook(secret)
	}
	return standardwebhooks.NewWebhookRaw([]byte(secret))
}

func BenchmarkSign(b *testing.B) {
	keys := signature.Keys{Primary: signature.NewSecret(whsec(32))}
	body := bytes.Repeat([]byte("x"), 1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := keys.Sign("evt_01JAAAAAAAAAAAAAAAAAAAAAAA", time.Unix(vectorUnix, 0), body); err != nil {
			b.Fatal(err)
		}
	}
}
