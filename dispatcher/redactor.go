// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"bytes"
	"strings"

	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
)

const (
	// minRedactedBytes is how long a piece of a secret or signature must be to be
	// blanked. Shorter ones occur by chance.
	minRedactedBytes = 8
	gramBytes        = 4
	redacted         = "[redacted]"
)

// redactor finds what the endpoint knows of us that readers of its answers must
// not: the secrets and the signatures.
type redactor struct {
	values []string // in lower case
	grams  [64]uint64
}

func newRedactor(keys signature.Keys, signed signature.Headers) *redactor {
	e := &redactor{values: append(make([]string, 0, 6), signed.Signature, signed.SignatureNext, keys.Primary.Reveal(), keys.Secondary.Reveal())}
	for part := range strings.SplitSeq(signed.WebhookSignature, " ") {
		e.values = append(e.values, strings.TrimPrefix(part, "v1,"))
	}
	for i, value := range e.values {
		value = string(redactorLower([]byte(strings.TrimPrefix(value, signature.StandardPrefix))))
		e.values[i] = value
		for at := range len(value) - gramBytes + 1 {
			word, bit := redactorGram(value[at : at+gramBytes])
			e.grams[word] |= bit
		}
	}
	return e
}

// redactorGram hashes four bytes to one of 4096 bits. Looking a bit up first spares the
// search in all values at almost every byte of an ordinary answer.
func redactorGram[T string | []byte](four T) (word int, bit uint64) {
	hash := (uint32(four[0]) | uint32(four[1])<<8 | uint32(four[2])<<16 | uint32(four[3])<<24) * 2654435761 >> 20
	return int(hash >> 6), 1 << (hash & 63)
}

// redact replaces every run of bytes that repeats a part of a value, in whatever
// case.
func (e *redactor) redact(text []byte) []byte {
	lower := redactorLower(text)
	var out []byte
	shown := 0 // text before it is in out
	for i := 0; i+minRedactedBytes <= len(lower); i++ {
		if word, bit := redactorGram(lower[i : i+gramBytes]); e.grams[word]&bit == 0 {
			continue
		}
		length := e.longestMatch(lower[i:])
		if length == 0 {
			continue
		}
		out = append(append(out, text[shown:i]...), redacted...)
		shown = i + length
		i = shown - 1
	}
	if shown == 0 {
		return text
	}
	return append(out, text[shown:]...)
}

// longestMatch returns how many bytes at the beginning of text occur somewhere in a
// value; 0 if they are fewer than minRedactedBytes.
func (e *redactor) longestMatch(text []byte) int {
	longest := 0
	piece := string(text[:minRedactedBytes])
	for _, value := range e.values {
		for from := 0; ; {
			at := strings.Index(value[from:], piece)
			if at < 0 {
				break
			}
			from += at
			n := minRedactedBytes
			for n < len(text) && from+n < len(value) && text[n] == value[from+n] {
				n++
			}
			longest = max(longest, n)
			from++
		}
	}
	return longest
}

// redactorLower changes no byte but A to Z, so that offsets stay.
func redactorLower(text []byte) []byte {
	lower := bytes.Clone(text)
	for i, c := range lower {
		if c >= 'A' && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	return lower
}
