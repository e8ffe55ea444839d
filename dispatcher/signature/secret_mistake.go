// SPDX-License-Identifier: Apache-2.0

package signature

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

var (
	errInvisible = errors.New("the secret begins or ends with an invisible character, such as a byte order mark: remove it")
	errQuoted    = errors.New("the secret stands in quotes, which would be part of it, often from a shell or a .env file: remove them")
	errBefore    = errors.New("something stands before whsec_ in the secret, such as a variable's name or a quote: give what begins with whsec_, and nothing else")
	errEncoded   = errors.New("the secret is base64 of a secret that begins with whsec_: give that secret itself; in a Kubernetes Secret encode it once under data, or not at all under stringData")
	errHex       = errors.New("the secret is hex of a secret that begins with whsec_: give that secret itself")
)

// secretMistake finds a secret that somebody did not mean: with it every signature would
// be wrong, and nothing would tell why. What is not obvious is let pass.
func secretMistake(secret string) error {
	first, _ := utf8.DecodeRuneInString(secret)
	last, _ := utf8.DecodeLastRuneInString(secret)
	switch at := strings.Index(secret, StandardPrefix); {
	case isInvisibleByMistake(first) || isInvisibleByMistake(last):
		return errInvisible
	case at == 0:
		return nil // its own grammar tells more
	case isQuotedByMistake(first, last):
		return errQuoted
	case at > 0:
		return errBefore
	case isEncodedByMistake(secret):
		return errEncoded
	}
	if plain, err := hex.DecodeString(secret); err == nil && mistakesStandardSecret(plain) {
		return errHex
	}
	return nil
}

// isInvisibleByMistake tells what text has without showing it. Control characters are let
// pass: a secret may be bytes that are no text.
func isInvisibleByMistake(r rune) bool { return unicode.Is(unicode.Cf, r) }

// isQuotedByMistake reports whether two characters are a pair of quotes.
func isQuotedByMistake(first, last rune) bool {
	switch first {
	case '"', '\'', '`':
		return last == first
	case '“':
		return last == '”'
	case '‘':
		return last == '’'
	case '«':
		return last == '»'
	}
	return false
}

// isEncodedByMistake reports whether a secret is base64, in any of its forms, of one that
// begins with whsec_, perhaps encoded more than once, in quotes or with white space.
func isEncodedByMistake(secret string) bool {
	const most = 3 // times; each makes it a third longer
	text := secret
	for range most {
		text = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(strings.TrimSpace(text), "="))
		plain, err := base64.RawStdEncoding.DecodeString(text)
		if err != nil {
			return false
		}
		if mistakesStandardSecret(plain) {
			return true
		}
		text = string(plain)
	}
	return false
}

func mistakesStandardSecret(plain []byte) bool {
	return strings.HasPrefix(strings.TrimLeft(string(plain), " \t\r\n\"'`"), StandardPrefix)
}
