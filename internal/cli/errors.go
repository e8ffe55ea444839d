// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"net/http"
	"slices"
	"strings"

	"bbmcp.quietstack.com/webhooks/client"
)

// usageError is a mistake in the command line or the settings.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

// notFoundError says that something named on the command line does not exist.
type notFoundError struct{ text string }

func (e notFoundError) Error() string { return e.text }

// errSilent ends a command that has told what is wrong already.
var errSilent = errors.New("told already")

// errInterrupted ends a command that stopped in good order when it was asked to.
var errInterrupted = errors.New("interrupted")

// explainError says what is wrong: of an answer of the API its detail and the fields
// at fault, of anything else the error.
func explainError(err error) []string {
	e, ok := errors.AsType[*client.Error](err)
	if !ok {
		return []string{printableLine(trimErrorPrefix(err))}
	}
	detail := e.Problem.Detail
	if detail == "" {
		detail = strings.ToLower(http.StatusText(e.Status))
	}
	lines := []string{printableLine(detail)}
	for _, field := range e.Problem.Errors {
		// The detail of a problem may be that of its first field.
		if line := printableLine(field.Field + ": " + field.Detail); !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	if e.Status >= http.StatusInternalServerError && e.Problem.RequestID != "" {
		lines = append(lines, printableLine("request id for those who run the API: "+e.Problem.RequestID))
	}
	if id := client.EventID(err); id != "" && e.Status != http.StatusConflict && e.Status/100 != 4 {
		lines = append(lines, "repeat it safely with --id "+printableLine(id))
	}
	return lines
}

// trimErrorPrefix is an error's text without the name that conclude puts before it.
func trimErrorPrefix(err error) string { return strings.TrimPrefix(err.Error(), "bbmcp: ") }
