// SPDX-License-Identifier: Apache-2.0

package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"mime"
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

// errorFromAnswer turns an answer that is not 2xx into an error.
func errorFromAnswer(call call, answer *http.Response, body []byte) *Error {
	e := &Error{
		Method: call.method, Path: call.path, Status: answer.StatusCode,
		RetryAfter: repeatAfter(answer.Header.Get("Retry-After"), time.Now()),
	}
	media, _, _ := mime.ParseMediaType(answer.Header.Get("Content-Type"))
	if media == "application/problem+json" && json.Unmarshal(body, &e.Problem) == nil {
		return e
	}
	e.Problem = rest.Problem{Type: "about:blank", Title: http.StatusText(e.Status), Status: e.Status}
	if location, err := answer.Location(); err == nil && e.Status >= 300 && e.Status <= 399 {
		e.Problem.Detail = fmt.Sprintf("the server redirects to %s://%s, where the token was not sent: set the base URL to where the API is",
			location.Scheme, location.Host)
		return e
	}
	e.Problem.Detail = "the answer carries no problem document, so it may not come from the API: look at the base URL and what is in front of it"
	return e
}

// publishError adds to a failed publish the id to repeat it with.
type publishError struct {
	id  string
	err error
}

func (e *publishError) Error() string { return e.err.Error() + " (event id " + e.id + ")" }

func (e *publishError) Unwrap() error { return e.err }

// EventID returns the id with which a publish that failed with this error is
// safely repeated, or "" if the error tells none.
func EventID(err error) string {
	if e, ok := errors.AsType[*publishError](err); ok {
		return e.id
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Problem.EventID
	}
	return ""
}
