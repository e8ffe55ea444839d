// SPDX-License-Identifier: Apache-2.0

package payload_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/payload"
)

var stamp = time.Date(2024, 1, 15, 10, 30, 0, 0, time.UTC)

const head = `{"event":"context.created","timestamp":"2024-01-15T10:30:00Z","data":`

// build returns what stands below "data", or the error.
func build(t *testing.T, data string) (string, error) {
	t.Helper()
	in := []byte(data)
	body, err := payload.Build("context.created", stamp, in)
	if string(in) != data {
		t.Fatalf("Build changed its input to %q", in)
	}
	if err != nil {
		if body != nil {
			t.Fatalf("Build returned a body and the error %v", err)
		}
		return "", err
	}
	inner, ok := strings.CutPrefix(string(body), head)
	if !ok || !strings.HasSuffix(inner, "}") {
		t.Fatalf("Build made %s", body)
	}
	return strings.TrimSuffix(inner, "}"), nil
}

// nested returns levels objects within each other, as data.
func nested(levels int) string {
	return strings.Repeat(`{"a":`, levels-1) + "{}" + strings.Repeat("}", levels-1)
}

func TestBuildNormalisesSpelling(t *testing.T) {
	tests := []struct {
		name, data, want string
	}{
		{"an empty object", `{}`, `{}`},
		{"white space goes", " {\r\n\t\"a\" : [ 1 , 2 ] } ", `{"a":[1,2]}`},
		{"literals stay", `{"a":[true,false,null]}`, `{"a":[true,false,null]}`},
		{"keys keep the publisher's order", `{"b":1,"a":2,"_":3}`, `{"b":1,"a":2,"_":3}`},
		{"the empty key stays", `{"":1}`, `{"":1}`},

		{"a fraction of zero goes", `{"n":1.0}`, `{"n":1}`},
		{"an exponent is resolved", `{"n":1e2}`, `{"n":100}`},
		{"a short fraction stays", `{"n":0.95}`, `{"n":0.95}`},
		{"a negative number", `{"n":-12.50}`, `{"n":-12.5}`},
		{"zero in all spellings", `{"n":[0,0.0,0e5,0E-7,0.000e999999999999]}`, `{"n":[0,0,0,0,0]}`},
		{"the largest safe integer", `{"n":9007199254740991}`, `{"n":9007199254740991}`},
		{"a large integer that is a double", `{"n":9007199254740994}`, `{"n":9007199254740994}`},
		{"sixteen digits that are a double", `{"n":1234567890123456}`, `{"n":1234567890123456}`},
		{"an integer just below the exponent form", `{"n":1e20}`, `{"n":100000000000000000000}`},
		{"an integer in the exponent form", `{"n":1000000000000000000000}`, `{"n":1e+21}`},
		{"a large exponent", `{"n":1.5E300}`, `{"n":1.5e+300}`},
		{"a small number in the plain form", `{"n":1e-6}`, `{"n":0.000001}`},
		{"a small number in the exponent form", `{"n":0.0000001}`, `{"n":1e-7}`},
		{"a small number with digits", `{"n":12.5e-9}`, `{"n":1.25e-8}`},
		{"the largest double", `{"n":1.7976931348623157e308}`, `{"n":1.7976931348623157e+308}`},
		{"the smallest double as JavaScript prints it", `{"n":5e-324}`, `{"n":5e-324}`},
		{"the smallest double as Java prints it", `{"n":4.9E-324}`, `{"n":5e-324}`},
		{"the smallest double with more digits", `{"n":[4.94e-324,-4.9406564584124654e-324]}`, `{"n":[5e-324,-5e-324]}`},
		{"a double of less precision as Java prints it", `{"n":[9.9E-324,1.48e-323,2.5e-323]}`, `{"n":[1e-323,1.5e-323,2.5e-323]}`},
		{"the largest double without its exponent", `{"n":17976931348623157` + strings.Repeat("0", 292) + `}`, `{"n":1.7976931348623157e+308}`},
		{"the smallest double without its exponent", `{"n":-0.` + strings.Repeat("0", 323) + `49}`, `{"n":-5e-324}`},
		{"zeros that the exponent takes back", `{"n":0.` + strings.Repeat("0", 390) + `1e391}`, `{"n":1}`},
		{"zeros that a negative exponent takes back", `{"n":1` + strings.Repeat("0", 390) + `e-390}`, `{"n":1}`},
		{"an exponent with leading zeros", `{"n":1e` + strings.Repeat("0", 397) + `2}`, `{"n":100}`},

		{"escapes that are not needed go", `{"s":"\u0041\/\u00e9\u20ac\ud83d\ude00"}`, `{"s":"A/é€😀"}`},
		{"HTML is not escaped", `{"s":"<a href=\"&\">\u003c"}`, `{"s":"<a href=\"&\"><"}`},
		{"line separators and DEL stay bare", `{"s":"\u2028\u2029\u007f"}`, "{\"s\":\"\u2028\u2029\x7f\"}"},
		{"control characters take their short escapes", `{"s":"\u0008\u0009\u000a\u000c\u000d"}`, `{"s":"\b\t\n\f\r"}`},
		{"other control characters take lower-case hex", `{"s":"\u0000\u000B\u001F\u007F"}`, "{\"s\":\"\\u0000\\u000b\\u001f\x7f\"}"},
		{"a backslash and a quote", `{"s":"\u005c\u0022"}`, `{"s":"\\\""}`},
		{"the replacement character is a character", `{"s":"\ufffd` + "\ufffd" + `"}`, "{\"s\":\"\ufffd\ufffd\"}"},
		{"noncharacters are carried", `{"s":"\uffff\ufdd0"}`, "{\"s\":\"\uffff\ufdd0\"}"},
		{"keys are normalised like strings", `{"\u0061\n":1}`, `{"a\n":1}`},

		{"index keys come first and ascending", `{"b":1,"10":2,"a":3,"9":4,"0":5}`, `{"0":5,"9":4,"10":2,"b":1,"a":3}`},
		{"index keys alone", `{"2":1,"1":2}`, `{"1":2,"2":1}`},
		{"index keys already in place", `{"1":1,"2":2,"b":3}`, `{"1":1,"2":2,"b":3}`},
		{"the largest index", `{"a":1,"4294967294":2}`, `{"4294967294":2,"a":1}`},
		{"one more is no index", `{"a":1,"4294967295":2}`, `{"a":1,"4294967295":2}`},
		{"ten digits beyond 32 bits are no index", `{"a":1,"9999999999":2}`, `{"a":1,"9999999999":2}`},
		{"leading zeros are no index", `{"a":1,"01":2,"00":3,"0":4}`, `{"0":4,"a":1,"01":2,"00":3}`},
		{"signs, points and exponents are no index", `{"a":1,"-1":2,"+1":3,"1.0":4,"1e1":5}`, `{"a":1,"-1":2,"+1":3,"1.0":4,"1e1":5}`},
		{"other digits are no index", `{"a":1,"٣":2,"１":3}`, `{"a":1,"٣":2,"１":3}`},
		{"an escaped index is one", `{"a":1,"\u0031":2}`, `{"1":2,"a":1}`},
		{"index keys at every depth", `{"x":{"a":[{"z":1,"3":{"y":1,"2":2}}],"1":{}},"7":0}`, `{"7":0,"x":{"1":{},"a":[{"3":{"2":2,"y":1},"z":1}]}}`},
		{"__proto__ keeps its place", `{"b":1,"__proto__":{"a":1},"constructor":2,"toJSON":3}`, `{"b":1,"__proto__":{"a":1},"constructor":2,"toJSON":3}`},

		{"one key in two objects", `{"a":{"k":1},"b":{"k":1},"k":[{"k":1},{"k":1}]}`, `{"a":{"k":1},"b":{"k":1},"k":[{"k":1},{"k":1}]}`},
		{"keys that differ in case", `{"a":1,"A":2}`, `{"a":1,"A":2}`},
		{"keys that differ in normalisation form", "{\"\u00e9\":1,\"e\u0301\":2}", "{\"\u00e9\":1,\"e\u0301\":2}"},
		{"63 levels of data", nested(63), nested(63)},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := build(t, tt.data)
			if err != nil {
				t.Fatal(err)
			}
			if got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if again, err := build(t, got); err != nil || again != got {
				t.Errorf("built again: %s, %v", again, err)
			}
		})
	}
}

func TestBuildRefuses(t *testing.T) {
	const (
		surrogate = `half of a surrogate pair, such as \ud800, is no character; send both halves or replace it by \ufffd`
		duplicate = "the key stands twice in one object and JavaScript keeps only the last; send it once"
		deep      = "more than 64 levels of objects and arrays, the payload itself and data counted; flatten it"
		negative  = "-0 would arrive as 0 in JavaScript; send 0"
	)
	changed := func(n, to string) string {
		return "the number " + n + " would arrive as " + to + " in JavaScript; send it as a string"
	}
	long := func(n int) string {
		return fmt.Sprintf(`the number "1000000000000000"… has %d characters, at most 400 are allowed; write it shorter, or send it as a string`, n)
	}
	const manyDigits = `the number "1000000000000000"… has more digits than JavaScript keeps; send it as a string`
	tests := []struct {
		name, data string
		want       payload.Error
	}{
		{"an integer between two doubles", `{"a":{"n":9007199254740993}}`, payload.Error{"data.a.n", payload.NumberNotExact, changed("9007199254740993", "9007199254740992")}},
		{"a number beyond the largest double", `{"items":[0,1,2,{"price":1E400}]}`, payload.Error{"data.items[3].price", payload.NumberNotExact, changed("1E400", "null")}},
		{"an exponent beyond any integer", `{"n":-1E400000000000000000000}`, payload.Error{"data.n", payload.NumberNotExact, changed("-1E400000000000000000000", "null")}},
		{"a number that rounds to zero", `{"n":1e-400}`, payload.Error{"data.n", payload.NumberNotExact, changed("1e-400", "0")}},
		{"a number near the smallest double", `{"n":4.8e-324}`, payload.Error{"data.n", payload.NumberNotExact, changed("4.8e-324", "5e-324")}},
		{"a double of less precision with a digit that is not its own", `{"n":1.49e-323}`, payload.Error{"data.n", payload.NumberNotExact, changed("1.49e-323", "1.5e-323")}},
		{"a number that is spelled at length", `{"a":[1,{"n":1` + strings.Repeat("0", 1_000_001) + `e-1000001}]}`, payload.Error{"data.a[1].n", payload.NumberTooLong, long(1_000_011)}},
		{"a number of one character too many", `{"n":1e` + strings.Repeat("0", 398) + `2}`, payload.Error{"data.n", payload.NumberTooLong, strings.Replace(long(401), "1000000000000000", "1e00000000000000", 1)}},
		{"seventeen digits of which the last is lost", `{"n":0.10000000000000001}`, payload.Error{"data.n", payload.NumberNotExact, changed("0.10000000000000001", "0.1")}},
		{"the exact value of a double that prints shorter", `{"n":0.1000000000000000055511151231257827}`, payload.Error{"data.n", payload.NumberNotExact, `the number "0.10000000000000"… has more digits than JavaScript keeps; send it as a string`}},
		{"a power of two that prints otherwise", `{"n":18446744073709551616}`, payload.Error{"data.n", payload.NumberNotExact, changed("18446744073709551616", "18446744073709552000")}},
		{"a long number with one digit far to the right", `{"n":1` + strings.Repeat("0", 100) + `.5}`, payload.Error{"data.n", payload.NumberNotExact, manyDigits}},
		{"-0", `{"n":-0}`, payload.Error{"data.n", payload.NegativeZero, negative}},
		{"-0.0", `{"n":-0.0}`, payload.Error{"data.n", payload.NegativeZero, negative}},
		{"-0 with an exponent", `{"n":-0.00e99}`, payload.Error{"data.n", payload.NegativeZero, negative}},

		{"the same key twice", `{"a":{"k":1,"k":1}}`, payload.Error{"data.a.k", payload.DuplicateKey, duplicate}},
		{"the same key twice after escapes", `{"k":1,"\u006b":2}`, payload.Error{"data.k", payload.DuplicateKey, duplicate}},
		{"the same key twice in an object in an array", `{"a":[1,{"k":1,"k":1}]}`, payload.Error{"data.a[1].k", payload.DuplicateKey, duplicate}},

		{"bytes that are not UTF-8", "{\"a\":[\"\xff\"]}", payload.Error{"data.a[0]", payload.InvalidUTF8, "the byte 0xff at offset 7 is not UTF-8; encode text as UTF-8 and bytes as base64"}},
		{"a surrogate encoded as UTF-8", "{\"a\":\"\xed\xa0\x80\"}", payload.Error{"data.a", payload.InvalidUTF8, "the byte 0xed at offset 6 is not UTF-8; encode text as UTF-8 and bytes as base64"}},
		{"a key that is not UTF-8", "{\"\x80\":1}", payload.Error{"data[\"\uFFFD\"]", payload.InvalidUTF8, "the byte 0x80 at offset 2 is not UTF-8; encode text as UTF-8 and bytes as base64"}},
		{"a high surrogate alone", `{"a":"x\ud800y"}`, payload.Error{"data.a", payload.LoneSurrogate, surrogate}},
		{"a low surrogate alone", `{"a":"\uDC00"}`, payload.Error{"data.a", payload.LoneSurrogate, surrogate}},
		{"two halves in the wrong order", `{"a":"\udc00\ud800"}`, payload.Error{"data.a", payload.LoneSurrogate, surrogate}},
		{"two high halves", `{"a":"\ud800\ud800\udc00"}`, payload.Error{"data.a", payload.LoneSurrogate, surrogate}},
		{"a lone surrogate in a key", `{"b":{"\ud800":1}}`, payload.Error{"data.b[\"\uFFFD\"]", payload.LoneSurrogate, surrogate}},

		{"64 levels of data", nested(64), payload.Error{"data…" + strings.Repeat(".a", 24), payload.TooDeep, deep}},
		{"64 levels of arrays", `{"a":` + strings.Repeat("[", 63) + strings.Repeat("]", 63) + `}`, payload.Error{"data…" + strings.Repeat("[0]", 16), payload.TooDeep, deep}},

		{"no bytes", "", payload.Error{"data", payload.NotAnObject, "is missing: send a JSON object, {} if there is nothing to say"}},
		{"white space", " \n", payload.Error{"data", payload.NotAnObject, "is missing: send a JSON object, {} if there is nothing to say"}},
		{"null", "null", payload.Error{"data", payload.NotAnObject, "must be a JSON object, not null"}},
		{"an array", "[]", payload.Error{"data", payload.NotAnObject, "must be a JSON object, not an array"}},
		{"a string", `"{}"`, payload.Error{"data", payload.NotAnObject, "must be a JSON object, not a string"}},
		{"a number", "1", payload.Error{"data", payload.NotAnObject, "must be a JSON object, not a number"}},
		{"a boolean", "true", payload.Error{"data", payload.NotAnObject, "must be a JSON object, not a boolean"}},
		{"two objects", "{} {}", payload.Error{"data", payload.TrailingData, "something follows the JSON object after offset 2; send one object"}},
		{"a brace too many", "{}}", payload.Error{"data", payload.TrailingData, "something follows the JSON object after offset 2; send one object"}},
		{"a NUL at the end", "{}\x00", payload.Error{"data", payload.TrailingData, "something follows the JSON object after offset 2; send one object"}},

		{"a byte order mark", "\ufeff{}", payload.Error{"data", payload.InvalidJSON, "not JSON at offset 0: invalid character '\\ufeff' at start of value"}},
		{"an object that is cut", `{"a":[1,`, payload.Error{"data.a", payload.InvalidJSON, "not JSON at offset 8: it ends too early"}},
		{"a string that is cut", `{"a":"b`, payload.Error{"data.a", payload.InvalidJSON, "not JSON at offset 7: it ends too early"}},
		{"a comma at the end", `{"a":1,}`, payload.Error{"data", payload.InvalidJSON, "not JSON at offset 6: invalid character ',' at start of value"}},
		{"a leading zero", `{"a":[01]}`, payload.Error{"data.a", payload.InvalidJSON, "not JSON at offset 7: invalid character '1' after array element (expecting ',' or ']')"}},
		{"NaN", `{"a":NaN}`, payload.Error{"data.a", payload.InvalidJSON, "not JSON at offset 5: invalid character 'N' at start of value"}},
		{"a bare line feed in a string", "{\"a\":\"\n\"}", payload.Error{"data.a", payload.InvalidJSON, "not JSON at offset 6: invalid character '\\n' in string (expecting non-control character)"}},
		{"an unknown escape", `{"a":"\x41"}`, payload.Error{"data.a", payload.InvalidJSON, "not JSON at offset 6: invalid escape sequence `\\x` in string"}},
		{"a number as a key", `{1:2}`, payload.Error{"data", payload.InvalidJSON, "not JSON at offset 1: object member name must be a string"}},
		{"a comment", `{/**/}`, payload.Error{"data", payload.InvalidJSON, "not JSON at offset 1: invalid character '/' at start of value"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := build(t, tt.data)
			if err == nil {
				t.Fatalf("accepted as %s", got)
			}
			e, ok := errors.AsType[*payload.Error](err)
			if !ok {
				t.Fatalf("got the error %T %v", err, err)
			}
			if *e != tt.want {
				t.Errorf("got  %+v\nwant %+v", *e, tt.want)
			}
		})
	}
}

func TestBuildCountsTheBytesOfTheBody(t *testing.T) {
	room := payload.MaxBytes - len(head+`{"a":""}}`)
	fits := strings.Repeat("x", room)
	tests := []struct {
		name, data string
		ok         bool
	}{
		{"exactly 256 KiB", `{"a":"` + fits + `"}`, true},
		{"one byte more", `{"a":"` + fits + `x"}`, false},
		{"one byte more, in the last number", `{"a":"` + fits[:room-6] + `","b":10}`, false},
		{"bytes count, not characters", `{"a":"` + fits[:room-1] + `é"}`, false},
		{"a longer spelling of a body that fits", `{ "a" : "` + fits[:room-1] + `\u0041"}`, true},
		{"a shorter spelling of one that does not", `{"a":"` + fits[:room-len(`","b":1`)+1-2] + `","b":1e20}`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			body, err := payload.Build("context.created", stamp, []byte(tt.data))
			if tt.ok {
				if err != nil || len(body) != payload.MaxBytes {
					t.Fatalf("got %d bytes and %v, want %d", len(body), err, payload.MaxBytes)
				}
				return
			}
			e, ok := errors.AsType[*payload.Error](err)
			want := payload.Error{"payload", payload.TooLarge, "more than 262144 bytes; send a reference to the content instead of the content"}
			if !ok || *e != want {
				t.Errorf("got %d bytes and %+v, want %+v", len(body), err, want)
			}
		})
	}
}

func TestBuildWritesTheExamplesOfTheProduct(t *testing.T) {
	// The shape of what receivers were promised, members in order.
	got, err := payload.Build("verification.completed", stamp.Add(1500*time.Microsecond), []byte(`{"verified": true, "block_number": 123456789}`))
	if err != nil {
		t.Fatal(err)
	}
	want := `{"event":"verification.completed","timestamp":"2024-01-15T10:30:00.001Z","data":{"verified":true,"block_number":123456789}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestBuildRefusesWhatStandsBesideTheData(t *testing.T) {
	tests := []struct {
		name      string
		eventType string
		timestamp time.Time
		want      payload.Error
	}{
		{"a type outside the grammar", `a"b`, stamp, payload.Error{"event", payload.InvalidEventType, `begin with a letter or digit and use only letters, digits, "_", "." and "-"`}},
		{"a time before the year 1 in UTC", "a", time.Date(1, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3600)), payload.Error{"timestamp", payload.InvalidTimestamp, "outside the years 0001 to 9999 in UTC"}},
		{"a time after the year 9999", "a", time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC), payload.Error{"timestamp", payload.InvalidTimestamp, "outside the years 0001 to 9999 in UTC"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := payload.Build(tt.eventType, tt.timestamp, []byte(`{}`))
			e, ok := errors.AsType[*payload.Error](err)
			if !ok || *e != tt.want {
				t.Errorf("got %+v, want %+v", err, tt.want)
			}
		})
	}
}

func TestErrorsShowLittleOfTheInput(t *testing.T) {
	long := strings.Repeat("s3cret", 5000)
	inputs := []string{
		`{"` + long + `":-0}`,
		`{"` + long + `":{"` + long + `":1e999}}`,
		`{"a":0.` + strings.Repeat("123", 5000) + `}`,
		`{"a":"` + long + `\ud800"}`,
		`{"a":"` + long + `","` + long + `":1,"` + long + `":2}`,
		"{\"a\":\"" + long + "\xff" + long + "\"}",
		`{"a":"` + long,
		`{"a":` + long,
		`{` + long,
		`{} ` + long,
		strings.Repeat(`{"`+long[:300]+`":`, 80),
		`{"` + strings.Repeat(`\u0000`, 50) + `":-0}`,
	}
	for _, in := range inputs {
		_, err := payload.Build("a", stamp, []byte(in))
		if err == nil {
			t.Errorf("accepted %.40s", in)
			continue
		}
		if n := strings.Count(err.Error(), "s3cret") * len("s3cret"); n > 80 || len(err.Error()) > 300 {
			t.Errorf("%d bytes of the input in %q", n, err)
		}
		if _, err := payload.Check([]byte(head + in)); err == nil || len(err.Error()) > 400 {
			t.Errorf("Check: %v", err)
		}
	}
}

func TestBuildIsBoundedOnHostileNumbers(t *testing.T) {
	// Each takes work in proportion to its text; a big-number library would not
	// return.
	long := strings.Repeat("9", 200_000)
	for _, n := range []string{"1E400000000", "1e-400000000", "1e" + long, "1e-" + long, long, "0." + long, long + "e" + long} {
		if got, err := build(t, `{"n":`+n+`}`); err == nil {
			t.Errorf("accepted as %.40s", got)
		}
	}
}
