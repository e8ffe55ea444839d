// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"bytes"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
)

func requests() map[string]Request {
	return map[string]Request{
		"the least": {},
		"all there is": {
			DeliveryID: "dlv_1", EventID: "evt_1", EventType: "a.b", Attempt: 20, URL: "https://example.com/ü?q=\x00", Payload: []byte("{}"),
			Keys:    signature.Keys{Primary: signature.NewSecret("sixteen bytes \xff\xfe"), Secondary: signature.NewSecret(strings.Repeat("s", 256))},
			Timeout: MaxTimeout, Test: true, TraceParent: "00-x",
			Forbidden: []netip.Prefix{netip.MustParsePrefix("10.96.0.1/32"), netip.MustParsePrefix("fd00::/8")},
		},
	}
}

func results() map[string]Result {
	return map[string]Result{
		"the least":              {},
		"a clock that went back": {Duration: -time.Second, StartedAt: time.Date(1969, 1, 1, 0, 0, 0, 1, time.UTC)},
		"all there is": {
			StartedAt: time.Date(2024, 1, 15, 10, 30, 0, 123456789, time.UTC), Duration: time.Millisecond, StatusCode: 503, Reason: ReasonThrottled,
			Message: "the endpoint answered 503", Snippet: "später", RetryAfter: time.Date(2024, 1, 15, 10, 31, 0, 0, time.UTC),
			CertificateNotAfter: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC), // RFC 5280: no date at all
			Timings:             Timings{DNS: 1, Connect: 2, TLS: 3, FirstByte: math.MaxInt64},
		},
	}
}

func TestRequestsArriveAsTheyWere(t *testing.T) {
	t.Parallel()
	for name, want := range requests() {
		encoded, err := encodeMetadata(nil, &want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeRequest(append(encoded, want.Payload...))
		if len(want.Payload) == 0 {
			got.Payload = want.Payload
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, want)
		}
		for cut := range encoded {
			if _, err := decodeRequest(encoded[:cut]); err == nil {
				t.Errorf("%s: %d of %d bytes are taken", name, cut, len(encoded))
			}
		}
		encoded[lengthBytes-1]++
		if _, err := decodeRequest(append(encoded, "x{}"...)); err == nil {
			t.Errorf("%s: what is left over is taken", name)
		}
	}
}

func TestResultsArriveAsTheyWere(t *testing.T) {
	t.Parallel()
	for name, want := range results() {
		encoded := encodeResult(nil, &want)
		if got, err := decodeResult(encoded); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, want)
		}
		for cut := range encoded {
			if _, err := decodeResult(encoded[:cut]); err == nil {
				t.Errorf("%s: %d of %d bytes are taken", name, cut, len(encoded))
			}
		}
		if _, err := decodeResult(append(encoded, 0)); err == nil {
			t.Errorf("%s: what is left over is taken", name)
		}
	}
}

func TestMetadataIsBounded(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]Request{
		"a URL of 64 KiB":             {URL: strings.Repeat("x", maxMetadataBytes)},
		"more ranges than are needed": {Forbidden: make([]netip.Prefix, maxForbidden+1)},
	} {
		if _, err := encodeMetadata(nil, &request); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

// Whatever is read without an error is written as the same request.
func FuzzDecodeRequest(f *testing.F) {
	for _, request := range requests() {
		encoded, err := encodeMetadata(nil, &request)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(append(encoded, request.Payload...))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		first, err := decodeRequest(body)
		if err != nil {
			return
		}
		encoded, err := encodeMetadata(nil, &first)
		if err != nil {
			t.Skip("shorter forms of numbers and ranges were longer")
		}
		second, err := decodeRequest(append(encoded, first.Payload...))
		if err != nil || !reflect.DeepEqual(first, second) || !bytes.HasSuffix(body, first.Payload) {
			t.Errorf("%+v, then %+v, %v", first, second, err)
		}
	})
}

// Whatever is read without an error is written as the same result.
func FuzzDecodeResult(f *testing.F) {
	for _, result := range results() {
		f.Add(encodeResult(nil, &result))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		first, err := decodeResult(body)
		if err != nil {
			return
		}
		if second, err := decodeResult(encodeResult(nil, &first)); err != nil || !reflect.DeepEqual(first, second) {
			t.Errorf("%+v, then %+v, %v", first, second, err)
		}
	})
}
