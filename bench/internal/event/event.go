// SPDX-License-Identifier: Apache-2.0

package event

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Widths of the parts of a mark: run, number, nanoseconds since 1970.
const (
	runDigits    = 4
	numberDigits = 10
	timeDigits   = 19
	markLength   = runDigits + 1 + numberDigits + 1 + timeDigits
)

// MaxRun is the largest run number.
const MaxRun = 9999

// markMember opens the member that holds the mark.
const markMember = `"context_id":"`

// envelope is what the gateway puts around data, without the type.
const envelope = `{"event":"","timestamp":"2024-01-15T10:30:00.123Z","data":}`

// Mark identifies an event and says when it was sent. Run 0 is for trials that
// nobody counts.
type Mark struct {
	Run, Number int
	Sent        time.Time
}

// Template is an event of one type whose mark can be filled in.
type Template struct {
	body []byte
	mark int // offset
}

// New makes a template whose payload, as the gateway builds it, has so many
// bytes, or as many as are needed. Data fits the schema of context.created.
func New(eventType string, payloadBytes int) *Template {
	const (
		head = `{` + markMember
		tail = `","agent_id":"my-classification-agent",` +
			`"transaction_hash":"0x1a2b3c4d5e6f78901a2b3c4d5e6f78901a2b3c4d5e6f78901a2b3c4d5e6f7890",` +
			`"context_hash":"0xabcdef1234567890abcdef1234567890abcdef1234567890abcdef1234567890",` +
			`"status":"pending","created_at":"2024-01-15T10:30:00Z",` +
			`"context_data":{"task":"classify_image","model":"resnet50","confidence":0.95},"metadata":{"notes":"`
		end = `"}}`
	)
	text := "resized, normalised, batched; "
	room := max(0, payloadBytes-len(envelope)-len(eventType)-len(head)-markLength-len(tail)-len(end))
	notes := strings.Repeat(text, room/len(text)+1)[:room]
	before := `{"event":"` + eventType + `","data":` + head
	return &Template{
		body: []byte(before + strings.Repeat("0", markLength) + tail + notes + end + `}`),
		mark: len(before),
	}
}

// Render appends the event with a mark to to, as it is published.
func (t *Template) Render(to []byte, m Mark) []byte {
	at := len(to) + t.mark
	to = append(to, t.body...)
	putMark(to[at:at+runDigits], int64(m.Run))
	to[at+runDigits] = '-'
	putMark(to[at+runDigits+1:at+runDigits+1+numberDigits], int64(m.Number))
	to[at+runDigits+1+numberDigits] = '-'
	putMark(to[at+markLength-timeDigits:at+markLength], m.Sent.UnixNano())
	return to
}

// Payload is the body that a receiver gets, with a mark, as a string.
func (t *Template) Payload(m Mark) string {
	published := string(t.Render(nil, m))
	return strings.Replace(published, `","data":`, `","timestamp":"2024-01-15T10:30:00.123Z","data":`, 1)
}

func putMark(to []byte, value int64) {
	for i := len(to) - 1; i >= 0; i-- {
		to[i] = byte('0' + value%10)
		value /= 10
	}
}

// FindMark reads the mark of a body.
func FindMark(body []byte) (Mark, error) {
	at := bytes.Index(body, []byte(markMember))
	if at < 0 || len(body) < at+len(markMember)+markLength {
		return Mark{}, fmt.Errorf("no mark in a body of %d bytes", len(body))
	}
	mark := body[at+len(markMember):][:markLength]
	run, err1 := strconv.Atoi(string(mark[:runDigits]))
	number, err2 := strconv.Atoi(string(mark[runDigits+1 : runDigits+1+numberDigits]))
	nanos, err3 := strconv.ParseInt(string(mark[markLength-timeDigits:]), 10, 64)
	if err1 != nil || err2 != nil || err3 != nil {
		return Mark{}, fmt.Errorf("not a mark: %q", mark)
	}
	return Mark{Run: run, Number: number, Sent: time.Unix(0, nanos)}, nil
}
