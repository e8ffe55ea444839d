// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bytes"
	"crypto/hmac"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
)

// Results of a check.
const (
	resultOK     = "ok"
	resultFailed = "failed"
	resultNone   = "missing"
)

// verifyCheck is what came of checking one header.
type verifyCheck struct {
	Header string `json:"header"`
	Result string `json:"result"`
	Detail string `json:"detail"`
}

// capture is a request to check.
type capture struct {
	body      []byte
	header    http.Header
	secret    string
	tolerance time.Duration
	at        time.Time
}

// check checks everything that is there. Without any signature it fails.
func (c *capture) check() ([]verifyCheck, error) {
	if c.header.Get(signature.HeaderSignature) == "" && c.header.Get(signature.HeaderWebhookSignature) == "" {
		return nil, usageError{fmt.Sprintf("no signature to check: give %s or %s with --headers, --header or the flags of their names",
			signature.HeaderSignature, signature.HeaderWebhookSignature)}
	}
	checks := []verifyCheck{c.checkBBMCPSignature()}
	if c.header.Get(signature.HeaderSignatureNext) != "" {
		checks = append(checks, c.checkNextSignature())
	}
	// While a rotation overlaps a receiver may know the secret of either.
	if len(checks) == 2 && checks[0].Result != checks[1].Result {
		for i := range checks {
			if checks[i].Result == resultFailed {
				checks[i] = verifyCheck{checks[i].Header, resultOK, "signed with the other secret of the rotation that is under way"}
			}
		}
	}
	standard, stamp := c.checkStandard()
	return append(checks, standard, stamp), nil
}

// expect computes what a request with this body would carry.
func (c *capture) expect(secret string, body []byte, id string, unix int64) (signature.Headers, error) {
	return signature.Keys{Primary: signature.NewSecret(secret)}.Sign(id, time.Unix(unix, 0), body)
}

func (c *capture) checkBBMCPSignature() verifyCheck {
	return c.checkHex(signature.HeaderSignature)
}

func (c *capture) checkNextSignature() verifyCheck {
	return c.checkHex(signature.HeaderSignatureNext)
}

func (c *capture) checkHex(name string) verifyCheck {
	argument := c.header.Get(name)
	if argument == "" {
		return verifyCheck{name, resultNone, "not checked"}
	}
	matches := func(secret string, body []byte) bool {
		want, err := c.expect(secret, body, "", 0)
		return err == nil && hmac.Equal([]byte(want.Signature), []byte(argument))
	}
	if matches(c.secret, c.body) {
		return verifyCheck{name, resultOK, "HMAC-SHA256 of the body"}
	}
	switch lower := strings.ToLower(argument); {
	case len(c.header.Values(name)) > 1:
		return verifyCheck{name, resultFailed, "the header is there more than once"}
	case strings.HasPrefix(lower, "sha256="):
		return verifyCheck{name, resultFailed, "begins with sha256=, which this product does not send"}
	case len(argument) != 64 || strings.Trim(lower, "0123456789abcdef") != "":
		return verifyCheck{name, resultFailed, fmt.Sprintf("is not 64 hexadecimal digits but %d characters: was it cut or encoded otherwise?", len(argument))}
	case lower != argument:
		return verifyCheck{name, resultFailed, "has upper-case letters: it was changed on the way"}
	}
	return verifyCheck{name, resultFailed, c.explainMismatch(matches, "the body is not what was signed, or the secret is another")}
}

// explainMismatch names the usual mistake that explains a signature, or else says so.
func (c *capture) explainMismatch(matches func(secret string, body []byte) bool, otherwise string) string {
	for _, usual := range c.listCommonMistakes() {
		if matches(usual.secret, usual.body) {
			return usual.means
		}
	}
	return otherwise
}

type verifyMistake struct {
	secret string
	body   []byte
	means  string
}

func (c *capture) listCommonMistakes() []verifyMistake {
	var mistakes []verifyMistake
	body := func(changed []byte, means string) {
		if !bytes.Equal(changed, c.body) {
			mistakes = append(mistakes, verifyMistake{c.secret, changed, means})
		}
	}
	body(bytes.TrimRight(c.body, "\r\n"), "matches without the line break at the end of the body: whatever captured it added that")
	body(bytes.TrimPrefix(c.body, []byte("\ufeff")), "matches without the byte order mark before the body: whatever captured it added that")
	body(bytes.ReplaceAll(c.body, []byte("\r\n"), []byte("\n")), "matches with \\n for \\r\\n: whatever captured the body changed its line breaks")
	var compact bytes.Buffer
	if json.Compact(&compact, c.body) == nil {
		body(compact.Bytes(), "matches without the white space between the members: the body was parsed and written again")
	}
	if key, isStandard := strings.CutPrefix(c.secret, signature.StandardPrefix); isStandard {
		mistakes = append(mistakes, verifyMistake{key, c.body, "matches the secret without whsec_: this header is signed with the whole secret, prefix included"})
	} else {
		mistakes = append(mistakes, verifyMistake{signature.StandardPrefix + c.secret, c.body, "matches the secret with whsec_ before it: the prefix is part of the secret"})
	}
	return mistakes
}

// checkStandard checks webhook-signature and webhook-timestamp.
func (c *capture) checkStandard() (signed, stamp verifyCheck) {
	const name = signature.HeaderWebhookSignature
	id, argument := c.header.Get(signature.HeaderWebhookID), c.header.Get(name)
	unix, stamp := c.checkTimestamp()
	switch {
	case argument == "":
		return verifyCheck{name, resultNone, "not checked"}, stamp
	case id == "":
		return verifyCheck{name, resultFailed, "cannot be checked without " + signature.HeaderWebhookID + ", which is signed too"}, stamp
	case unix == nil:
		return verifyCheck{name, resultFailed, "cannot be checked without " + signature.HeaderWebhookTimestamp + ", which is signed too"}, stamp
	}
	matches := func(secret string, body []byte) bool {
		want, err := c.expect(secret, body, id, *unix)
		if err != nil {
			return false
		}
		for one := range strings.FieldsSeq(argument) {
			if hmac.Equal([]byte(one), []byte(want.WebhookSignature)) {
				return true
			}
		}
		return false
	}
	if matches(c.secret, c.body) {
		return verifyCheck{name, resultOK, "HMAC-SHA256 of id.timestamp.body (Standard Webhooks)"}, stamp
	}
	if !hasVersion1(argument) {
		return verifyCheck{name, resultFailed, "holds no signature of the form v1,<base64>"}, stamp
	}
	return verifyCheck{name, resultFailed, c.explainMismatch(matches, "body, webhook-id or webhook-timestamp is not what was signed, or the secret is another")}, stamp
}

func hasVersion1(header string) bool {
	for one := range strings.FieldsSeq(header) {
		if encoded, ok := strings.CutPrefix(one, "v1,"); ok {
			if sum, err := base64.StdEncoding.DecodeString(encoded); err == nil && len(sum) == 32 {
				return true
			}
		}
	}
	return false
}

// checkTimestamp checks webhook-timestamp and returns it, if it is one.
func (c *capture) checkTimestamp() (*int64, verifyCheck) {
	const name = signature.HeaderWebhookTimestamp
	argument := c.header.Get(name)
	if argument == "" {
		return nil, verifyCheck{name, resultNone, "not checked"}
	}
	unix, err := strconv.ParseInt(argument, 10, 64)
	if err != nil || strconv.FormatInt(unix, 10) != argument {
		return nil, verifyCheck{name, resultFailed, fmt.Sprintf("%q is not a number of seconds since 1970", argument)}
	}
	at := time.Unix(unix, 0)
	if c.tolerance == 0 {
		return &unix, verifyCheck{name, resultOK, at.UTC().Format(time.RFC3339) + "; its distance is not checked"}
	}
	away, where := c.at.Sub(at), "before"
	if away < 0 {
		away, where = -away, "after"
	}
	detail := fmt.Sprintf("%s, %s %s %s", at.UTC().Format(time.RFC3339), away.Round(time.Second), where, c.at.UTC().Format(time.RFC3339))
	if away > c.tolerance {
		return &unix, verifyCheck{name, resultFailed, detail + fmt.Sprintf(": more than %s away; a receiver would take it for a replay (--at says when it arrived)", c.tolerance)}
	}
	return &unix, verifyCheck{name, resultOK, detail}
}
