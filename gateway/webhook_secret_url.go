// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"net/url"
	"regexp"
	"strings"

	"bbmcp.quietstack.com/webhooks/api/rest"
)

// reasonURLShowsSecret is API: never reworded.
const reasonURLShowsSecret = "URLShowsSecret"

const (
	// minSecretLength is the least length at which a segment of a path may look like a
	// secret.
	minSecretLength = 24
	// urlExposesDetail names the fault and the remedy.
	urlExposesDetail = " looks like a secret, and all who may read webhooks see the url; have the endpoint verify the signature instead"
)

var (
	secretName = regexp.MustCompile(`(?i)token|secret|passw|api[-_]?key|signature|^(key|sig|auth|code)$`)
	uuidForm   = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
)

// secretURLWarnings warns of a URL that seems to contain a secret: its path and query are
// in the object, visible to all who may read it. The warning repeats no part of the URL.
func secretURLWarnings(endpoint string) []rest.Warning {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil
	}
	for name := range u.Query() {
		if secretName.MatchString(name) {
			return []rest.Warning{{Field: "url", Detail: "a value of its query" + urlExposesDetail, Reason: reasonURLShowsSecret}}
		}
	}
	for part := range strings.SplitSeq(u.Path, "/") {
		if looksLikeSecret(part) {
			return []rest.Warning{{Field: "url", Detail: "a part of its path" + urlExposesDetail, Reason: reasonURLShowsSecret}}
		}
	}
	return nil
}

// looksLikeSecret reports whether a text is long and mixes letters and digits, as tokens do. A
// UUID does not count.
func looksLikeSecret(part string) bool {
	return len(part) >= minSecretLength && !uuidForm.MatchString(part) && strings.ContainsAny(part, "0123456789") &&
		strings.ContainsFunc(part, isSecretLetter) &&
		!strings.ContainsFunc(part, func(r rune) bool { return !isSecretLetter(r) && (r < '0' || r > '9') && r != '_' && r != '-' })
}

func isSecretLetter(r rune) bool { return r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' }
