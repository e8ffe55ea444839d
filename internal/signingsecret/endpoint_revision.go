// SPDX-License-Identifier: Apache-2.0

package signingsecret

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// EndpointRevision is a short hash of the url and the reference to the signing
// secret: of what re-enables a Webhook when it changes, and of what an endpoint's
// answers say something about.
func EndpointRevision(webhook *v1alpha1.Webhook) string {
	text, _ := json.Marshal([]any{webhook.Spec.URL, RefOf(webhook)})
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}
