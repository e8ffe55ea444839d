// SPDX-License-Identifier: Apache-2.0

package backlog

import "time"

// Frame is one delivery that waits.
type Frame struct {
	EventID   string
	EventType string
	Accepted  time.Time
	Payload   []byte // the body, as it is signed and sent
	// TraceParent and Publisher are those of the request that published the event.
	TraceParent string
	Publisher   string
	// Attempts is how many were made, LastOutcome what came of the last one.
	Attempts    int
	LastOutcome string
	// NotBefore is when the next attempt is due; it counts only once there was one.
	NotBefore time.Time
}

// isDue reports whether the next attempt may be made.
func (f *Frame) isDue(now time.Time) bool { return f.Attempts == 0 || !now.Before(f.NotBefore) }

// Entry is a Frame in its Lot.
type Entry struct {
	Frame

	message uint64 // its sequence in the log
	ordinal int    // among all that were added to the lot
	state   entryState
	// probes is how many the entry was in this outage; isProbe: its attempt is one.
	probes  int
	isProbe bool
	started time.Time
	failure failure // while the state is failed
}

type entryState uint8

const (
	waiting  entryState = iota
	underWay            // an attempt is
	failed              // its attempt has, which is not yet judged
	moving              // to another home, by a Decision
	settled             // delivered or moved: it may be trimmed
)

// failsAlone reports whether a failure is about the delivery: the endpoint answered, and
// has refused or failed it before. Otherwise the last entries of a lot, which fail for
// good, would keep it parked for ever, and what joins it.
func (e *Entry) failsAlone(kind ResultKind) bool { return kind == Answered && e.Attempts > 0 }

// Result is what came of an attempt.
type Result struct {
	Kind ResultKind
	// RetryAfter is until when the endpoint wants to be left alone; zero: it said nothing.
	RetryAfter time.Time
}

// ResultKind is what an attempt says about its endpoint.
type ResultKind uint8

// Kinds of results.
const (
	Succeeded ResultKind = iota // 2xx
	Answered                    // any other status
	Throttled                   // 429 or 503
	NoAnswer                    // a timeout, no connection
	Gone                        // 410
)

func (k ResultKind) isUnanswered() bool { return k == Throttled || k == NoAnswer }

// Decision says what is to be done with an entry before it is settled.
type Decision struct {
	Entry *Entry
	Kind  DecisionKind
	// Result of the attempt that led to it.
	Result Result
}

// DecisionKind is where an entry goes.
type DecisionKind uint8

// Kinds of decisions.
const (
	// Retry: the attempt counts, and the retry policy goes on: an object, a frame at the
	// end of the lot with one attempt more and its time, or the end of the delivery.
	Retry DecisionKind = iota
	// Postpone: the frame is appended to the end of the lot as it is.
	Postpone
	// Disable: the endpoint is gone. The delivery ends, and its webhook is disabled.
	Disable
)
