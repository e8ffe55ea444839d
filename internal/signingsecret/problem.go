// SPDX-License-Identifier: Apache-2.0

package signingsecret

import (
	"fmt"
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// Problem says why a Webhook cannot sign. Only a person can help.
type Problem struct {
	Reason    string    // ReasonSecretNotFound, ReasonSecretInvalid or ReasonSecretNotPermitted
	Message   string    // what is wrong and the way out
	LookAgain time.Time // when the Secret is read again
}

// Error implements error.
func (p *Problem) Error() string { return p.Message }

func invalidSecretProblem(name, key string, err error) *Problem {
	return &Problem{
		Reason:  v1alpha1.ReasonSecretInvalid,
		Message: fmt.Sprintf("Secret %q, key %q: %v", name, key, err),
	}
}

// missingSecretProblem says that there is no such Secret to sign with. It says the same of one
// that is there and not labelled: who may create Webhooks is not told which Secrets
// there are.
func missingSecretProblem(name, key string) *Problem {
	return &Problem{
		Reason: v1alpha1.ReasonSecretNotFound,
		Message: fmt.Sprintf("there is no Secret %q that webhooks may sign with; create it with the key %q and the label %s: \"true\", or set that label if it exists",
			name, key, v1alpha1.SigningSecretLabel),
	}
}
