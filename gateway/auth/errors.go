// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"errors"
	"fmt"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/authn"
)

// ErrAudienceTooNarrow says that the API server does not accept the caller's token.
var ErrAudienceTooNarrow = fmt.Errorf(
	"this token is of the audience %q alone: that is for publishing and reading. Changes are made at the API server with the caller's own token, which has to be of its audience: "+
		"request it without an audience", authn.PublishingAudience)

// ErrNoCaller says that the context of a request with the caller's token has no caller.
// It keeps the gateway's own rights out of the caller's requests, whatever bug there may
// be.
var ErrNoCaller = errors.New("no caller in the context of a request that needs the caller's token")

// Unauthenticated says that a request has no valid token.
type Unauthenticated struct{ Detail string }

// Error implements error.
func (e *Unauthenticated) Error() string { return e.Detail }

// Forbidden says that the caller lacks a right.
type Forbidden struct{ Detail string }

// Error implements error.
func (e *Forbidden) Error() string { return e.Detail }

// LimitExceeded says that the API server is not asked, because there are too many
// questions of this kind.
type LimitExceeded struct {
	Detail string
	// Wait is the time until the limit allows the next question.
	Wait time.Duration
}

// Error implements error.
func (e *LimitExceeded) Error() string { return e.Detail }

// Unavailable says that the API server could not be asked.
type Unavailable struct {
	// Action completes "… is not possible".
	Action string
	Cause  error
}

// Error implements error.
func (e *Unavailable) Error() string { return fmt.Sprintf("%s: %v", e.Action, e.Cause) }

// Unwrap implements errors.Unwrap.
func (e *Unavailable) Unwrap() error { return e.Cause }

func newForbidden(caller *Caller, r Right) *Forbidden {
	object := r.Resource
	if r.Name != "" {
		object = fmt.Sprintf("%s %q", r.Resource, r.Name)
	}
	return &Forbidden{fmt.Sprintf("%s may not %s %s in namespace %s%s", caller.Name(), r.Verb, object, r.Namespace, r.advice())}
}
