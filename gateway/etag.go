// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"strings"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// Precondition makes a change conditional on the webhook's version (RFC 9110, section
// 13.1.1).
type Precondition struct {
	IfMatch string `header:"If-Match" doc:"ETag of the webhook as it was read: 412 if it has changed since"`
}

// holds reports whether the webhook still has a version that the caller has seen.
func (c Precondition) holds(webhook *v1alpha1.Webhook) bool {
	if c.IfMatch == "" {
		return true
	}
	current := etagOf(webhook)
	for tag := range strings.SplitSeq(c.IfMatch, ",") {
		if tag = strings.TrimSpace(tag); tag == "*" || tag == current {
			return true
		}
	}
	return false
}

func (c Precondition) problem() *problem {
	return newFieldProblem(http.StatusPreconditionFailed, reasonVersionMismatch, "header.If-Match",
		"the webhook has changed since it was read; read it again and decide anew")
}

// etagOf is a version of the members on which people base decisions (RFC 9110, section
// 8.8.3). The object's resourceVersion would not do: it changes with each count in the
// status, and the endpoint's health with each attempt, so a caller who has just read the
// webhook would be refused. Counts are left out for the same reason.
func etagOf(webhook *v1alpha1.Webhook) string {
	shown := presentWebhook(webhook)
	shown.EndpointHealth, shown.Problem = rest.EndpointHealth{}, nil
	shown.DeliveriesSkipped, shown.LastSkippedAt, shown.DeliveriesDeletedEarly = 0, nil, 0
	text, _ := json.Marshal(shown) //nolint:gosec // G117: no member is a secret; strings, a bool and a time cannot fail
	sum := sha256.Sum256(append([]byte(webhook.UID), text...))
	return `"` + hex.EncodeToString(sum[:12]) + `"`
}
