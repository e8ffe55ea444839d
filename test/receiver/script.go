// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Fault is a way to misbehave instead of answering.
type Fault string

// The faults. Those that write raw bytes need HTTP/1.1; over HTTP/2 they abort
// the stream.
const (
	Hang              Fault = "hang"             // no answer until the sender gives up
	ResetBeforeAnswer Fault = "reset"            // request read, connection reset
	ResetInHeaders    Fault = "reset-headers"    // reset in the middle of the answer's headers
	ResetInBody       Fault = "reset-body"       // reset in the middle of the answer's body
	EndlessHeaders    Fault = "endless-headers"  // headers without end
	EndlessBody       Fault = "endless-body"     // a body without end, as fast as it goes
	SlowBody          Fault = "slow-body"        // a body without end, one byte each Step.Every
	Informational     Fault = "1xx-flood"        // 103 answers without end
	GzipBomb          Fault = "gzip-bomb"        // 0.7 MB that unpack to 640 MiB
	NotHTTP           Fault = "not-http"         // bytes that are not HTTP
	Echo              Fault = "echo"             // answers with the request's headers and body
	ControlCharacters Fault = "control-chars"    // answers with every byte below 0x20, escapes and bad UTF-8
	CheckSignature    Fault = "verify"           // 401 unless X-BBMCP-Signature is right, else 200
	RedirectToMeta    Fault = "redirect-to-meta" // 307 to a metadata address
)

var faults = []Fault{ //nolint:gochecknoglobals // never changed
	Hang, ResetBeforeAnswer, ResetInHeaders, ResetInBody, EndlessHeaders, EndlessBody, SlowBody,
	Informational, GzipBomb, NotHTTP, Echo, ControlCharacters, CheckSignature, RedirectToMeta,
}

// Step is how one or more posts are answered. The zero Step answers 200.
type Step struct {
	// Times is how many posts the step answers; 0 is 1. The last step of a
	// script answers all that follow, too.
	Times int
	// Status of the answer; 0 is 200.
	Status int
	Header map[string]string
	Body   string
	// Delay passes before the answer or the fault.
	Delay time.Duration
	// Every is the pause between bytes of SlowBody; 0 is 100 ms.
	Every time.Duration
	Fault Fault
}

func (s Step) status() int {
	if s.Status == 0 {
		return http.StatusOK
	}
	return s.Status
}

// answeredStatus is the status that a sender will see; 0 if none.
func (s Step) answeredStatus() int {
	switch s.Fault {
	case Hang, ResetBeforeAnswer, ResetInHeaders, EndlessHeaders, Informational, NotHTTP:
		return 0
	case RedirectToMeta:
		return http.StatusTemporaryRedirect
	default:
		return s.status()
	}
}

// ParseScript reads steps separated by commas: a status ("200"), a fault's name
// ("hang"), each with any of "xN" for times, "after=2s" for a delay,
// "retry-after=3" and "location=URL" for headers, "status=500" beside a fault,
// "every=1s", separated by spaces: "500 x3, 429 retry-after=2, hang x1, 200".
func ParseScript(text string) ([]Step, error) {
	var steps []Step
	for part := range strings.SplitSeq(text, ",") {
		step, err := parseStep(strings.Fields(part))
		if err != nil {
			return nil, fmt.Errorf("step %d: %w", len(steps)+1, err)
		}
		steps = append(steps, step)
	}
	return steps, nil
}

func parseStep(words []string) (Step, error) {
	var step Step
	if len(words) == 0 {
		return step, fmt.Errorf("empty")
	}
	if status, err := parseStatus(words[0]); err == nil {
		step.Status = status
	} else if step.Fault, err = parseFault(words[0]); err != nil {
		return step, err
	}
	for _, word := range words[1:] {
		if err := step.apply(word); err != nil {
			return step, err
		}
	}
	return step, nil
}

func (s *Step) apply(word string) error {
	name, value, _ := strings.Cut(word, "=")
	var err error
	switch {
	case name == "after":
		s.Delay, err = time.ParseDuration(value)
	case name == "every":
		s.Every, err = time.ParseDuration(value)
	case name == "status":
		s.Status, err = parseStatus(value)
	case name == "retry-after":
		s.set("Retry-After", value)
	case name == "location":
		s.set("Location", value)
	case name == "body":
		s.Body = value
	case strings.HasPrefix(word, "x"):
		s.Times, err = strconv.Atoi(word[1:])
	default:
		err = fmt.Errorf("unknown word %q", word)
	}
	return err
}

func (s *Step) set(name, value string) {
	if s.Header == nil {
		s.Header = make(map[string]string)
	}
	s.Header[name] = value
}

func parseStatus(word string) (int, error) {
	status, err := strconv.Atoi(word)
	if err != nil || status < 200 || status > 999 {
		return 0, fmt.Errorf("%q is not a final status", word)
	}
	return status, nil
}

func parseFault(word string) (Fault, error) {
	for _, fault := range faults {
		if word == string(fault) {
			return fault, nil
		}
	}
	return "", fmt.Errorf("%q is neither a status nor one of %v", word, faults)
}

// script is how a path is answered, and how far it has come.
type script struct {
	steps []Step
	used  int // of the first step
}

func (s *script) next() Step {
	if len(s.steps) == 0 {
		return Step{}
	}
	step := s.steps[0]
	s.used++
	if s.used >= max(step.Times, 1) && len(s.steps) > 1 {
		s.steps, s.used = s.steps[1:], 0
	}
	return step
}
