// SPDX-License-Identifier: Apache-2.0

package payload_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/payload"
)

func TestCheckReadsWhatBuildMade(t *testing.T) {
	data := `{"7":1,"b":[1.5,"<é\n😀>"],"__proto__":{}}`
	timestamp := stamp.Add(250 * time.Millisecond)
	body, err := payload.Build("context.created", timestamp, []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	got, err := payload.Check(body)
	if err != nil {
		t.Fatal(err)
	}
	want := payload.Info{EventType: "context.created", Timestamp: timestamp, Data: []byte(data)}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if cap(got.Data) != len(got.Data) {
		t.Error("an append to Data would write into the body")
	}
}

func TestCheckRefuses(t *testing.T) {
	const (
		spell   = "spell values as JSON.stringify(JSON.parse(payload)) does, without white space, members in the order event, timestamp, data"
		members = "is missing: a payload holds event, timestamp and data"
	)
	const rest = `"timestamp":"2024-01-15T10:30:00Z","data":{}}`
	tests := []struct {
		name, body string
		want       payload.Error
	}{
		{"another spelling of a number", head + `{"a":[1,{"n":1.0}]}}`, payload.Error{"data.a[1].n", payload.NotCanonical, `at offset 83 there is ".0}]}}", not "}]}}": ` + spell}},
		{"an escape that is not needed", head + `{"a":"\u003c"}}`, payload.Error{"data.a", payload.NotCanonical, `at offset 75 there is "\\u003c\"}}", not "<\"}}": ` + spell}},
		{"index keys not in front", head + `{"a":1,"0":2}}`, payload.Error{"data.a", payload.NotCanonical, `at offset 71 there is "a\":1,\"0\":2}}", not "0\":2,\"a\":1}}": ` + spell}},
		{"white space inside", head + `{ "a":1}}`, payload.Error{"data.a", payload.NotCanonical, `at offset 70 there is " \"a\":1}}", not "\"a\":1}}": ` + spell}},
		{"white space in front", " " + head + `{}}`, payload.Error{"payload", payload.NotCanonical, `at offset 0 there is " {\"event\":\"conte"…, not "{\"event\":\"contex"…: ` + spell}},
		{"a line feed at the end", head + "{}}\n", payload.Error{"payload", payload.NotCanonical, `at offset 72 there is "\n", not "": ` + spell}},
		{"members in another order", `{"timestamp":"2024-01-15T10:30:00Z","event":"a","data":{}}`, payload.Error{"timestamp", payload.NotCanonical, `at offset 2 there is "timestamp\":\"2024"…, not "event\":\"a\",\"time"…: ` + spell}},
		{"an escape in the type", `{"event":"\u0061",` + rest, payload.Error{"event", payload.NotCanonical, `at offset 10 there is "\\u0061\",\"timesta"…, not "a\",\"timestamp\":\""…: ` + spell}},
		{"a time with an offset", `{"event":"a","timestamp":"2024-01-15T11:30:00+01:00","data":{}}`, payload.Error{"timestamp", payload.NotCanonical, `write "2024-01-15T10:30:00Z": UTC with Z, cut to milliseconds, which show only when not zero`}},
		{"a time with milliseconds of zero", `{"event":"a","timestamp":"2024-01-15T10:30:00.000Z","data":{}}`, payload.Error{"timestamp", payload.NotCanonical, `write "2024-01-15T10:30:00Z": UTC with Z, cut to milliseconds, which show only when not zero`}},
		{"a time with microseconds", `{"event":"a","timestamp":"2024-01-15T10:30:00.123456Z","data":{}}`, payload.Error{"timestamp", payload.NotCanonical, `write "2024-01-15T10:30:00.123Z": UTC with Z, cut to milliseconds, which show only when not zero`}},

		{"what Build refuses in data", head + `{"n":-0}}`, payload.Error{"data.n", payload.NegativeZero, "-0 would arrive as 0 in JavaScript; send 0"}},
		{"data that is no object", head + `[]}`, payload.Error{"data", payload.NotAnObject, "must be a JSON object, not an array"}},
		{"a type outside the grammar", `{"event":"a b",` + rest, payload.Error{"event", payload.InvalidEventType, `begin with a letter or digit and use only letters, digits, "_", "." and "-"`}},
		{"a type that is no string", `{"event":1,` + rest, payload.Error{"event", payload.InvalidEventType, "must be a string, not a number"}},
		{"a time that is no string", `{"event":"a","timestamp":1705314600,"data":{}}`, payload.Error{"timestamp", payload.InvalidTimestamp, "must be a string, not a number"}},
		{"a time that is none", `{"event":"a","timestamp":"yesterday","data":{}}`, payload.Error{"timestamp", payload.InvalidTimestamp, `not RFC 3339: write it as "2024-01-15T10:30:00Z"`}},

		{"no event", `{` + rest, payload.Error{"event", payload.MissingMember, members}},
		{"no timestamp", `{"event":"a","data":{}}`, payload.Error{"timestamp", payload.MissingMember, members}},
		{"no data", `{"event":"a","timestamp":"2024-01-15T10:30:00Z"}`, payload.Error{"data", payload.MissingMember, members}},
		{"an empty object", `{}`, payload.Error{"event", payload.MissingMember, members}},
		{"another member", `{"event":"a","id":"1",` + rest, payload.Error{"id", payload.UnknownMember, "a payload holds event, timestamp and data and nothing else; move it into data"}},
		{"a member twice", `{"event":"a","event":"a",` + rest, payload.Error{"event", payload.DuplicateKey, "the key stands twice in one object and JavaScript keeps only the last; send it once"}},
		{"no object", `[]`, payload.Error{"payload", payload.NotAnObject, "must be a JSON object, not an array"}},
		{"no bytes", ``, payload.Error{"payload", payload.InvalidJSON, "not JSON: it ends too early"}},
		{"no JSON", `event=a`, payload.Error{"payload", payload.InvalidJSON, "not JSON at offset 0: invalid character 'e' at start of value"}},
		{"a body that is cut", `{"event":"a","data":{"a":`, payload.Error{"data.a", payload.InvalidJSON, "not JSON at offset 25: it ends too early"}},
		{"two objects", head + `{}}{}`, payload.Error{"payload", payload.TrailingData, "something follows the JSON object after offset 72; send one object"}},
		{"bytes that are not UTF-8", head + "{\"a\":\"\xff\"}}", payload.Error{"data.a", payload.InvalidUTF8, "the byte 0xff at offset 75 is not UTF-8; encode text as UTF-8 and bytes as base64"}},
		{"more than 256 KiB", head + `{"a":"` + strings.Repeat("x", payload.MaxBytes) + `"}}`, payload.Error{"payload", payload.TooLarge, "more than 262144 bytes; send a reference to the content instead of the content"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			info, err := payload.Check([]byte(tt.body))
			e, ok := errors.AsType[*payload.Error](err)
			if !ok {
				t.Fatalf("got %+v and the error %v", info, err)
			}
			if *e != tt.want {
				t.Errorf("got  %+v\nwant %+v", *e, tt.want)
			}
			if !reflect.DeepEqual(info, payload.Info{}) {
				t.Errorf("got an Info beside the error: %+v", info)
			}
		})
	}
}
