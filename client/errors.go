// SPDX-License-Identifier: Apache-2.0

package client

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"bbmcp.quietstack.com/webhooks/api/rest"
)

// Error is an answer other than 2xx. Get it with errors.AsType[*client.Error].
type Error struct {
	// Method and Path say which call it was.
	Method, Path string
	// Status is the HTTP status.
	Status int
	// Problem is the problem document. If the answer carried none, because
	// something between here and the API wrote it, Title and Detail are made
	// from the status.
	Problem rest.Problem
	// RetryAfter is how long the server asked to wait; 0 if it did not.
	RetryAfter time.Duration
}

// Error tells the call, the status, the detail and the fields at fault.
func (e *Error) Error() string {
	var text strings.Builder
	fmt.Fprintf(&text, "%s %s: %d %s", e.Method, e.Path, e.Status, http.StatusText(e.Status))
	if e.Problem.Detail != "" {
		text.WriteString(": " + e.Problem.Detail)
	}
	for _, field := range e.Problem.Errors {
		// The detail of a problem may be that of its first field.
		if said := field.Field + ": " + field.Detail; said != e.Problem.Detail {
			text.WriteString("; " + said)
		}
	}
	return text.String()
}

// StatusOf returns the HTTP status that an error of this package carries, or 0
// if no answer came.
func StatusOf(err error) int {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Status
	}
	return 0
}
