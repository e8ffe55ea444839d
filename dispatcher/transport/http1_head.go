// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

var (
	errHeadMalformed = errors.New("the head of the answer is malformed")
	errHeadTooLarge  = errors.New("the head of the answer is too large")
)

// keptValueBytes is how much of a header's value is kept.
const keptValueBytes = 2 << 10

// framing is how the body of an answer ends.
type framing int

const (
	framingClose   framing = iota // with the connection; also where it cannot be told
	framingNone                   // there is none
	framingLength                 // after so many bytes
	framingChunked                // with an empty chunk
)

// http1Head is the head of an HTTP/1.x answer. What is wrong with the headers that
// frame the body is no error: the status is there, and nothing of the body is
// needed. It only means that the connection is not used again.
type http1Head struct {
	answer    Answer
	framing   framing
	length    int64
	keepAlive bool
	idle      time.Duration // for how long the endpoint keeps the connection; 0: it does not say

	minor     byte // of the version
	lengths   []string
	encodings []string
}

// http1HeadReader reads heads of answers, the bytes of all of them bounded.
type http1HeadReader struct {
	r    *bufio.Reader
	left int
	long []byte // a line that the reader's buffer does not hold
	any  bool   // something was read
}

// read returns the head of the final answer.
func (h *http1HeadReader) read() (*http1Head, error) {
	for {
		head, err := h.readOne()
		if err != nil {
			return nil, err
		}
		if status := head.answer.StatusCode; status >= 200 || status == http.StatusSwitchingProtocols {
			head.decideFraming()
			return head, nil
		}
	}
}

func (h *http1HeadReader) readOne() (*http1Head, error) {
	line, err := h.line()
	if err != nil {
		return nil, err
	}
	head := &http1Head{}
	if head.answer.StatusCode, head.minor, err = parseStatusLine(line); err != nil {
		return nil, err
	}
	for first := true; ; first = false {
		line, err := h.line()
		if err != nil {
			return nil, err
		}
		if len(line) == 0 {
			return head, nil
		}
		if line[0] == ' ' || line[0] == '\t' { // a value that goes on, obsolete
			if first {
				return nil, errHeadMalformed
			}
			continue
		}
		if err := head.takeField(line); err != nil {
			return nil, err
		}
	}
}

// line reads one line without its end. It is valid until the next call, and cut
// where it is longer than what is kept of any.
func (h *http1HeadReader) line() ([]byte, error) {
	h.long = h.long[:0]
	for {
		piece, err := h.r.ReadSlice('\n')
		h.any = h.any || len(piece) > 0
		if h.left -= len(piece); h.left < 0 {
			return nil, errHeadTooLarge
		}
		switch {
		case err == nil && len(h.long) == 0:
			return bytes.TrimSuffix(piece[:len(piece)-1], []byte("\r")), nil
		case err == nil:
			h.keep(piece[:len(piece)-1])
			return bytes.TrimSuffix(h.long, []byte("\r")), nil
		case errors.Is(err, bufio.ErrBufferFull):
			h.keep(piece)
		case errors.Is(err, io.EOF) && h.any:
			return nil, io.ErrUnexpectedEOF
		default:
			return nil, err
		}
	}
}

func (h *http1HeadReader) keep(piece []byte) {
	h.long = append(h.long, piece[:min(len(piece), max(0, keptValueBytes-len(h.long)))]...)
}

// parseStatusLine reads "HTTP/1.1 200 OK", the phrase being what it likes.
func parseStatusLine(line []byte) (status int, minor byte, err error) {
	version, rest, found := bytes.Cut(line, []byte(" "))
	if !found || len(version) != len("HTTP/1.1") || !bytes.HasPrefix(version, []byte("HTTP/")) || !isStatusDigit(version[5]) || version[6] != '.' || !isStatusDigit(version[7]) {
		return 0, 0, errHeadMalformed
	}
	code, _, _ := bytes.Cut(bytes.TrimLeft(rest, " "), []byte(" "))
	if len(code) != 3 || code[0] < '1' || !isStatusDigit(code[0]) || !isStatusDigit(code[1]) || !isStatusDigit(code[2]) {
		return 0, 0, errHeadMalformed
	}
	minor = version[7]
	if version[5] != '1' {
		minor = '0' // of another version nothing is known
	}
	return int(code[0]-'0')*100 + int(code[1]-'0')*10 + int(code[2]-'0'), minor, nil
}

func isStatusDigit(c byte) bool { return c >= '0' && c <= '9' }

// takeField notes the headers that matter.
func (h *http1Head) takeField(line []byte) error {
	name, value, found := bytes.Cut(line, []byte(":"))
	if !found || len(name) == 0 || bytes.ContainsAny(name, " \t") {
		return errHeadMalformed
	}
	value = bytes.Trim(value, " \t")
	// The lengths sort out nearly all.
	switch {
	case isHeadField(name, "Content-Length"):
		h.lengths = append(h.lengths, string(value))
	case isHeadField(name, "Transfer-Encoding"):
		h.encodings = append(h.encodings, string(value))
	case isHeadField(name, "Connection"):
		h.takeConnection(string(value))
	case isHeadField(name, "Keep-Alive"):
		h.idle = keepAliveTimeout(string(value))
	case isHeadField(name, "Retry-After"):
		keepFirstHeadField(&h.answer.RetryAfter, value)
	case isHeadField(name, "Location"):
		keepFirstHeadField(&h.answer.Location, value)
	case isHeadField(name, "Content-Encoding"):
		keepFirstHeadField(&h.answer.ContentEncoding, value)
	}
	return nil
}

func isHeadField(name []byte, want string) bool {
	return len(name) == len(want) && strings.EqualFold(string(name), want)
}

func keepFirstHeadField(into *string, value []byte) {
	if *into == "" {
		*into = string(value[:min(len(value), keptValueBytes)])
	}
}

func (h *http1Head) takeConnection(value string) {
	for option := range strings.SplitSeq(value, ",") {
		if strings.EqualFold(strings.Trim(option, " \t"), "close") {
			h.minor = '0' // the same as an old version: the connection ends
		}
	}
}

// keepAliveTimeout reads "timeout=5, max=100".
func keepAliveTimeout(value string) time.Duration {
	for parameter := range strings.SplitSeq(value, ",") {
		name, text, _ := strings.Cut(parameter, "=")
		if seconds, err := strconv.ParseUint(strings.Trim(text, " \t\""), 10, 16); err == nil && strings.EqualFold(strings.Trim(name, " \t"), "timeout") {
			return max(time.Duration(seconds)*time.Second, time.Nanosecond)
		}
	}
	return 0
}

// decideFraming decides how the body ends (RFC 9112, section 6.3).
func (h *http1Head) decideFraming() {
	status := h.answer.StatusCode
	length, valid := singleContentLength(h.lengths)
	switch {
	case status == http.StatusSwitchingProtocols:
		h.framing = framingNone
		return
	case status == http.StatusNoContent, status == http.StatusNotModified:
		h.framing = framingNone
	case len(h.encodings) == 1 && strings.EqualFold(h.encodings[0], "chunked") && len(h.lengths) == 0:
		h.framing = framingChunked
	case len(h.encodings) == 0 && valid:
		h.framing, h.length = framingLength, length
	default:
		h.framing = framingClose
	}
	h.keepAlive = h.minor != '0' && h.framing != framingClose
}

// singleContentLength returns what one or several equal Content-Length headers say.
func singleContentLength(values []string) (length int64, valid bool) {
	for i, value := range values {
		if strings.Trim(value, "0123456789") != "" || value != values[0] {
			return 0, false
		}
		if i > 0 {
			continue
		}
		var err error
		if length, err = strconv.ParseInt(value, 10, 64); err != nil {
			return 0, false
		}
	}
	return length, len(values) > 0
}

// appendHTTP1Head appends the head of a request.
func appendHTTP1Head(b []byte, r *Request) []byte {
	b = append(b, "POST "...)
	b = append(b, r.URL.RequestURI()...)
	b = append(b, " HTTP/1.1\r\nHost: "...)
	b = append(b, r.Host...)
	for _, field := range r.Header {
		b = append(b, "\r\n"...)
		b = append(b, field.Name...)
		b = append(b, ": "...)
		b = append(b, field.Value...)
	}
	b = append(b, "\r\nContent-Length: "...)
	b = strconv.AppendInt(b, int64(len(r.Body)), 10)
	return append(b, "\r\n\r\n"...)
}
