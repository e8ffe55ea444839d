// SPDX-License-Identifier: Apache-2.0

package payload_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/payload"
)

var seeds = []string{
	`{}`, ` {"a":[1,2.50,-3e2,1E400,-0,0e99999,5e-324,1.7976931348623157e308],"b":{"10":1,"9":2,"__proto__":{}}} `,
	`{"s":"\u0041\ud83d\ude00\u2028\u0000\b","\u0031":"<&>","":null,"t":true,"f":false}`,
	`{"a":"\ud800"}`, `{"a":1,"\u0061":2}`, "{\"a\":\"\xff\"}", `{} {}`, `[1]`, `null`, ``, `{"a":9007199254740993}`,
	`{"a":[4.9E-324,4.94e-324,1.48e-323,2.2250738585072014e-308,1` + strings.Repeat("0", 500) + `e-500]}`,
	`{"a":0.00000000000000000000000000000000000001e40,"4294967294":1,"4294967295":2,"01":3}`,
	`{"a":` + strings.Repeat("[", 62) + strings.Repeat("]", 62) + `}`,
}

func FuzzBuild(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		body, err := payload.Build("context.created", stamp, data)
		if !bytes.Equal(before, data) {
			t.Fatalf("Build changed its input %q to %q", before, data)
		}
		if err != nil {
			if _, ok := errors.AsType[*payload.Error](err); !ok {
				t.Fatalf("the error %T %v", err, err)
			}
			return
		}
		if !json.Valid(body) || len(body) > payload.MaxBytes {
			t.Fatalf("Build made %q", body)
		}
		info, err := payload.Check(body)
		if err != nil {
			t.Fatalf("Check of %s: %v", body, err)
		}
		if info.EventType != "context.created" || !info.Timestamp.Equal(stamp) {
			t.Fatalf("Check read %+v", info)
		}
		again, err := payload.Build(info.EventType, info.Timestamp, info.Data)
		if err != nil || !bytes.Equal(again, body) {
			t.Fatalf("built again: %s, %v; want %s", again, err, body)
		}
		if in, out := decode(t, data), decode(t, info.Data); !reflect.DeepEqual(in, out) {
			t.Fatalf("values changed: %v became %v", in, out)
		}
	})
}

func FuzzCheck(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(head + s + "}"))
	}
	f.Add([]byte(`{"event":"a","timestamp":"2016-12-31T23:59:60Z","data":{}}`))
	f.Add([]byte(`{"data":{},"event":"a","timestamp":"2024-01-15T10:30:00.010Z"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		info, err := payload.Check(body)
		if err != nil {
			return
		}
		made, err := payload.Build(info.EventType, info.Timestamp, info.Data)
		if err != nil || !bytes.Equal(made, body) {
			t.Fatalf("Check accepts %s, Build makes %s, %v", body, made, err)
		}
	})
}

func FuzzParseTimestamp(f *testing.F) {
	for _, s := range []string{"2024-01-15T10:30:00Z", "2016-12-31t23:59:60.25z", "0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59.999999999-23:59"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		parsed, err := payload.ParseTimestamp(s)
		if err != nil {
			return
		}
		written := payload.FormatTimestamp(parsed)
		again, err := payload.ParseTimestamp(written)
		if err != nil || payload.FormatTimestamp(again) != written || parsed.Sub(again) < 0 || parsed.Sub(again) >= time.Millisecond {
			t.Fatalf("%q is written as %q, which is %v, %v", s, written, again, err)
		}
	})
}

// decode reads JSON by the standard library, with numbers as exact values.
func decode(t *testing.T, data []byte) any {
	t.Helper()
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("encoding/json refuses %q: %v", data, err)
	}
	return exact(t, v)
}

func exact(t *testing.T, v any) any {
	t.Helper()
	switch v := v.(type) {
	case map[string]any:
		for key := range v {
			v[key] = exact(t, v[key])
		}
	case []any:
		for i := range v {
			v[i] = exact(t, v[i])
		}
	case json.Number:
		return exactNumber(t, v.String())
	}
	return v
}

// exactNumber is an independent reading of a number that Build accepts.
func exactNumber(t *testing.T, text string) string {
	t.Helper()
	mantissa, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	if strings.Trim(mantissa, "-0.") == "" {
		return "0"
	}
	if f, err := strconv.ParseFloat(text, 64); err == nil && math.Abs(f) < 0x1p-1022 && len(text) < 1000 {
		return strconv.FormatFloat(f, 'b', -1, 64) // of less than full precision: the same double is the same value
	}
	// The mantissa is small enough for the exponent to be small as well.
	r, ok := new(big.Rat).SetString(mantissa)
	if !ok {
		t.Fatalf("math/big refuses %q", text)
	}
	e := 0
	if exponent != "" {
		var err error
		if e, err = strconv.Atoi(exponent); err != nil || e > len(text)+400 || e < -len(text)-400 {
			t.Fatalf("accepted the number %q", text)
		}
	}
	power := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(e, -e))), nil))
	if e < 0 {
		power.Inv(power)
	}
	return r.Mul(r, power).String()
}
