// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"

	"bbmcp.quietstack.com/webhooks/client"
)

// publishTarget tells one API and namespace from another in progress files. Without
// --namespace the key decides the namespace, so its account is part of it.
func (a *app) publishTarget(ctx context.Context) (string, error) {
	url := cmp.Or(a.apiURL, a.Getenv(client.EnvBaseURL))
	if a.namespace != "" {
		return lineID(strings.TrimRight(url, "/"), a.namespace), nil
	}
	token, err := a.tokenSource()(ctx)
	if err != nil {
		return "", err
	}
	return lineID(strings.TrimRight(url, "/"), targetNamespace(token)), nil
}

// targetNamespace reads the namespace that a ServiceAccount token says it is of,
// without checking it, or returns "" if it does not say.
func targetNamespace(token string) string {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	claims, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var message struct {
		Subject string `json:"sub"` // system:serviceaccount:namespace:name
	}
	if json.Unmarshal(claims, &message) != nil {
		return ""
	}
	account, ok := strings.CutPrefix(message.Subject, "system:serviceaccount:")
	if !ok {
		return ""
	}
	namespace, _, _ := strings.Cut(account, ":")
	return namespace
}
