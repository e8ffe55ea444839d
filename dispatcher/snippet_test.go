// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
)

func TestSnippet(t *testing.T) {
	t.Parallel()
	const secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="
	const plain = "Correct-Horse-Battery"
	keys := signature.Keys{Primary: signature.NewSecret(secret), Secondary: signature.NewSecret(plain)}
	signed, err := keys.Sign("evt_1", time.Unix(1, 0), []byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	standard := strings.TrimPrefix(strings.Fields(signed.WebhookSignature)[0], "v1,")
	for _, test := range []struct{ name, body, want string }{
		{"plain text stays", "invalid signature", "invalid signature"},
		{"JSON stays", `{"error":"no such event: context.created"}`, `{"error":"no such event: context.created"}`},
		{"nothing stays nothing", "", ""},
		{"lines become one", "a\r\n\tb  c\n", "a b c"},
		{"leading white space goes", "\n\n a", "a"},
		{"other scripts stay", "ungültig: 無効", "ungültig: 無効"},
		{"escapes and controls go", "\x1b[31mred\x00\x07\x7f", "[31mred"},
		{"bad UTF-8 goes", "a\xff\xfeb", "a b"},
		{"marks that turn text around go", "a\u202eb\u2066c\u200bd", "a b c d"},
		{"a signature is blanked", "got " + signed.Signature + ".", "got [redacted]."},
		{"in capitals too", "got " + strings.ToUpper(signed.Signature) + ".", "got [redacted]."},
		{"and its beginning", "got " + signed.Signature[:20] + "…", "got [redacted]…"},
		{"and its middle", "got " + signed.Signature[20:30] + "…", "got [redacted]…"},
		{"seven characters are chance", "got " + signed.Signature[:7] + " !", "got " + signed.Signature[:7] + " !"},
		{"the next signature is blanked", signed.SignatureNext, "[redacted]"},
		{"standard signatures are blanked", signed.WebhookSignature, "v1,[redacted] v1,[redacted]"},
		{"a standard signature in other case", "v1," + strings.ToLower(standard), "v1,[redacted]"},
		{"the secret is blanked", "key=" + secret, "key=whsec_[redacted]"},
		{"the other secret is blanked", "key=" + plain, "key=[redacted]"},
		{"a part of the secret is blanked", "key=horse-batt", "key=[redacted]"},
		{"two values in a row", signed.Signature + signed.SignatureNext, "[redacted][redacted]"},
		{"long text is cut", strings.Repeat("a", 300), strings.Repeat("a", 256)},
		{"a character is not cut in half", strings.Repeat("a", 255) + "é", strings.Repeat("a", 255)},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := snippet([]byte(test.body), newRedactor(keys, signed)); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func FuzzSnippet(f *testing.F) {
	keys := signature.Keys{Primary: signature.NewSecret("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")}
	signed, err := keys.Sign("evt_1", time.Unix(1, 0), []byte("{}"))
	if err != nil {
		f.Fatal(err)
	}
	values := newRedactor(keys, signed)
	f.Add([]byte("a"), []byte("b"), 0, 64)
	f.Fuzz(func(t *testing.T, before, after []byte, from, to int) {
		if from < 0 || to > len(signed.Signature) || to-from < minRedactedBytes {
			return
		}
		piece := signed.Signature[from:to]
		got := snippet([]byte(string(before)+piece+string(after)), values)
		if len(got) > MaxSnippetBytes || !utf8.ValidString(got) || strings.IndexFunc(got, func(r rune) bool { return !unicode.IsPrint(r) }) >= 0 {
			t.Errorf("not fit to be shown: %q", got)
		}
		if strings.Contains(strings.ToLower(got), piece[:minRedactedBytes]) {
			t.Errorf("%q shows %q", got, piece)
		}
	})
}

func BenchmarkSnippet(b *testing.B) {
	keys := signature.Keys{Primary: signature.NewSecret("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")}
	signed, _ := keys.Sign("evt_1", time.Unix(1, 0), []byte("{}"))
	body := []byte(strings.Repeat("an ordinary answer of an endpoint. ", 30))
	b.ReportAllocs()
	for b.Loop() {
		snippet(body, newRedactor(keys, signed))
	}
}
