// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"bbmcp.quietstack.com/webhooks/client"
)

// maxLineBytes is far beyond what any event may be: the API takes payloads of
// 256 KiB, and a line may spell one at twice the length.
const maxLineBytes = 2 << 20

// eventLine is one event of a file.
type eventLine struct {
	number int // from 1
	body   []byte
	// id makes it idempotent; given if the line itself has it.
	id    string
	given bool
	// mark stands for this event in a progress file.
	mark string
	// err: it cannot be sent.
	err error
}

// lineReader reads a file of events.
type lineReader struct {
	in        *bufio.Reader
	eventType string // for lines that have none
	batch     string
	target    string // where it goes, for marks
	number    int
	// seen counts lines with the same text, by a hash of it.
	seen map[[16]byte]uint32
}

func newLineReader(in io.Reader, eventType, batch, target string) *lineReader {
	return &lineReader{
		in: bufio.NewReaderSize(in, 64<<10), eventType: eventType, batch: batch, target: target,
		seen: map[[16]byte]uint32{},
	}
}

// next returns the next line that is not blank, or io.EOF.
func (r *lineReader) next() (eventLine, error) {
	for {
		content, tooLong, err := r.read()
		if err != nil {
			return eventLine{}, err
		}
		r.number++
		if content = bytes.TrimSpace(content); r.number == 1 {
			content = bytes.TrimPrefix(content, []byte("\ufeff"))
		}
		switch {
		case tooLong:
			return eventLine{number: r.number, err: fmt.Errorf("longer than %d bytes", maxLineBytes)}, nil
		case len(content) > 0:
			return r.event(content), nil
		}
	}
}

// read returns one line; of one that is too long, nothing.
func (r *lineReader) read() (content []byte, tooLong bool, err error) {
	for {
		part, err := r.in.ReadSlice('\n')
		if !tooLong {
			content = append(content, part...)
			if len(content) > maxLineBytes {
				content, tooLong = nil, true
			}
		}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, io.EOF) && (len(content) > 0 || tooLong):
			return content, tooLong, nil
		default:
			return content, tooLong, err
		}
	}
}

// event makes an event of the text of a line. Only what must be known here is
// looked at; what an event may be is for the API to say.
func (r *lineReader) event(content []byte) eventLine {
	line := eventLine{number: r.number, body: content}
	hash := sha256.Sum256(content)
	key := [16]byte(hash[:])
	before := r.seen[key]
	r.seen[key]++

	hasType, id, err := lineMembers(content)
	if err != nil {
		line.err = err
		return line
	}
	if !hasType && r.eventType != "" {
		line.body = lineWithEventType(content, r.eventType)
	}
	if id != "" {
		line.id, line.given = id, true
	} else {
		line.id = "line_" + lineID(r.batch, strconv.FormatUint(uint64(before), 10), string(line.body))
	}
	line.mark = lineID(r.target, line.id, string(line.body))
	return line
}

// lineID is 128 bits of the hash of several texts, in hexadecimal.
func lineID(parts ...string) string {
	hash := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(hash, "%d:%s", len(part), part)
	}
	return hex.EncodeToString(hash.Sum(nil)[:16])
}

// lineMembers reports whether an object has the member event, and its id if that
// is a string.
func lineMembers(content []byte) (hasType bool, id string, err error) {
	if err := checkInputJSON(content); err != nil {
		return false, "", err
	}
	var members map[string]json.RawMessage // a struct would take "Event" for "event"
	if err := json.Unmarshal(content, &members); err != nil || members == nil {
		return false, "", errors.New("not a JSON object")
	}
	_, hasType = members["event"]
	if json.Unmarshal(members["id"], &id) != nil {
		id = "" // missing, or the API says what is wrong with it
	}
	return hasType, id, nil
}

// lineWithEventType puts the member event before the others.
func lineWithEventType(object []byte, eventType string) []byte {
	encoded, err := encodeJSON(eventType, "")
	if err != nil {
		return object // strings can always be encoded
	}
	members := bytes.TrimSpace(object[1:])
	body := append([]byte(`{"event":`), bytes.TrimSpace(encoded)...)
	if len(members) > 0 && members[0] != '}' {
		body = append(body, ',')
	}
	return append(body, members...)
}

// countLines counts the lines that are not blank.
func countLines(in io.Reader) (int, error) {
	reader := bufio.NewReaderSize(in, 64<<10)
	count, blank := 0, true
	for {
		part, err := reader.ReadSlice('\n')
		blank = blank && len(bytes.TrimSpace(part)) == 0
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if !blank {
			count++
		}
		blank = true
		if errors.Is(err, io.EOF) {
			return count, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// isLineError reports whether an error is about the line and not about the way to
// the API: the next line may well work.
func isLineError(err error) bool {
	switch status := client.StatusOf(err); status {
	case http.StatusUnauthorized, http.StatusNotFound, http.StatusTooManyRequests:
		return false
	default:
		return status/100 == 4
	}
}
