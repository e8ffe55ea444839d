// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
)

// Methods of the calls on the unix socket.
const (
	methodAttempt  = byte(iota + 1) // a Request there, a Result back
	methodCheckURL                  // a urlQuestion there, a urlAnswer back, as JSON
	methodReady                     // nothing there, nothing back
)

// A Request travels as the length of its metadata in four bytes, most
// significant first, the metadata, and the payload as it is. Texts are preceded
// by their length; numbers are varints. Both sides come from one image, so
// there are no versions, and nothing is optional.
const (
	lengthBytes      = 4
	maxMetadataBytes = 64 << 10
	maxRequestBytes  = lengthBytes + maxMetadataBytes + MaxPayloadBytes
	maxResultBytes   = 64 << 10
	maxForbidden     = 1024
)

var (
	errEncoding = errors.New("malformed encoding")
	errMetadata = errors.New("what goes with the payload is larger than 64 KiB")
)

// encodeMetadata appends what precedes the payload. Only here do secrets leave
// their type: they go to the sidecar and nowhere else.
func encodeMetadata(b []byte, r *Request) ([]byte, error) {
	start := len(b)
	b = append(b, 0, 0, 0, 0)
	for _, text := range [...]string{r.DeliveryID, r.EventID, r.EventType, r.URL, r.TraceParent, r.Keys.Primary.Reveal(), r.Keys.Secondary.Reveal()} {
		b = encodeText(b, text)
	}
	b = binary.AppendVarint(b, int64(r.Attempt))
	b = binary.AppendVarint(b, int64(r.Timeout))
	test := int64(0)
	if r.Test {
		test = 1
	}
	b = binary.AppendVarint(b, test)
	b = binary.AppendVarint(b, int64(len(r.Forbidden)))
	for _, prefix := range r.Forbidden {
		b = encodeText(b, prefix.String())
	}
	length := len(b) - start - lengthBytes
	if length > maxMetadataBytes || len(r.Forbidden) > maxForbidden {
		return nil, errMetadata
	}
	binary.BigEndian.PutUint32(b[start:], uint32(length)) //nolint:gosec // G115: bounded above
	return b, nil
}

// decodeRequest is the other direction. The payload is a part of body.
func decodeRequest(body []byte) (Request, error) {
	if len(body) < lengthBytes {
		return Request{}, errEncoding
	}
	length := int64(binary.BigEndian.Uint32(body))
	if length > maxMetadataBytes || length > int64(len(body)-lengthBytes) {
		return Request{}, errEncoding
	}
	payload := body[lengthBytes+length:]
	d := encodingReader{rest: string(body[lengthBytes : lengthBytes+length])} // all texts are parts of this one
	request := Request{DeliveryID: d.text(), EventID: d.text(), EventType: d.text(), URL: d.text(), TraceParent: d.text(), Payload: payload}
	request.Keys = signature.Keys{Primary: signature.NewSecret(d.text()), Secondary: signature.NewSecret(d.text())}
	request.Attempt = int(d.number())
	request.Timeout = time.Duration(d.number())
	request.Test = d.number() == 1
	forbidden := d.number()
	if forbidden < 0 || forbidden > maxForbidden {
		return Request{}, errEncoding
	}
	for range forbidden {
		prefix, err := netip.ParsePrefix(d.text())
		if err != nil {
			return Request{}, errEncoding // err quotes what it read
		}
		request.Forbidden = append(request.Forbidden, prefix)
	}
	if !d.whole() {
		return Request{}, errEncoding
	}
	return request, nil
}

func encodeResult(b []byte, r *Result) []byte {
	b = encodeTime(b, r.StartedAt)
	b = encodeTime(b, r.RetryAfter)
	b = encodeTime(b, r.CertificateNotAfter)
	for _, number := range [...]int64{
		int64(r.Duration), int64(r.StatusCode),
		int64(r.Timings.DNS), int64(r.Timings.Connect), int64(r.Timings.TLS), int64(r.Timings.FirstByte),
	} {
		b = binary.AppendVarint(b, number)
	}
	return encodeText(encodeText(encodeText(b, string(r.Reason)), r.Message), r.Snippet)
}

func decodeResult(body []byte) (Result, error) {
	d := encodingReader{rest: string(body)}
	result := Result{StartedAt: d.time(), RetryAfter: d.time(), CertificateNotAfter: d.time()}
	result.Duration, result.StatusCode = time.Duration(d.number()), int(d.number())
	result.Timings = Timings{
		DNS: time.Duration(d.number()), Connect: time.Duration(d.number()),
		TLS: time.Duration(d.number()), FirstByte: time.Duration(d.number()),
	}
	result.Reason, result.Message, result.Snippet = Reason(d.text()), d.text(), d.text()
	if !d.whole() {
		return Result{}, errEncoding
	}
	return result, nil
}

func encodeText(b []byte, text string) []byte {
	return append(binary.AppendVarint(b, int64(len(text))), text...)
}

// encodeTime keeps the zero time; nanoseconds since 1970 would not.
func encodeTime(b []byte, t time.Time) []byte {
	return binary.AppendVarint(binary.AppendVarint(b, t.Unix()), int64(t.Nanosecond()))
}

// encodingReader reads from the beginning of a text until something is wrong with it.
type encodingReader struct {
	rest   string
	failed bool
}

func (d *encodingReader) number() int64 {
	var scratch [binary.MaxVarintLen64]byte
	value, n := binary.Varint(scratch[:copy(scratch[:], d.rest)])
	if n <= 0 {
		d.fail()
		return 0
	}
	d.rest = d.rest[n:]
	return value
}

func (d *encodingReader) text() string {
	length := d.number()
	if length < 0 || length > int64(len(d.rest)) {
		d.fail()
		return ""
	}
	text := d.rest[:length]
	d.rest = d.rest[length:]
	return text
}

func (d *encodingReader) time() time.Time {
	seconds, nanoseconds := d.number(), d.number()
	return time.Unix(seconds, nanoseconds).UTC()
}

func (d *encodingReader) fail() { d.rest, d.failed = "", true }

// whole reports whether everything was there and nothing is left.
func (d *encodingReader) whole() bool { return !d.failed && d.rest == "" }

// urlQuestion and urlAnswer are the two sides of CheckURL.
type urlQuestion struct {
	URL       string         `json:"url"`
	Forbidden []netip.Prefix `json:"forbidden,omitempty"`
}

type urlAnswer struct {
	Reason  Reason `json:"reason,omitempty"`
	Message string `json:"message,omitempty"`
}
