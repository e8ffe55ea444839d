// SPDX-License-Identifier: Apache-2.0

package payload_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"bbmcp.quietstack.com/webhooks/internal/payload"
)

func TestMembersKeepsValuesAsTheyStand(t *testing.T) {
	got, err := payload.Members([]byte(" {\"\\u0061\" : [ 1.0 , {\"b\":2}] ,\n\"é\":null, \"s\":\"\\ud83d\\ude00\" } "), "body")
	want := []payload.Member{
		{Name: "a", Value: []byte(`[ 1.0 , {"b":2}]`)}, {Name: "é", Value: []byte("null")}, {Name: "s", Value: []byte(`"\ud83d\ude00"`)},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
	if text, err := got[2].Text(payload.InvalidEventID); err != nil || text != "😀" {
		t.Errorf("Text is %q, %v", text, err)
	}
	if !got[1].IsNull() || got[0].IsNull() {
		t.Error("IsNull is wrong")
	}
	if field := got[1].Field(); field != `["é"]` {
		t.Errorf("Field is %s", field)
	}
}

func TestMembersNamesWhatIsWrong(t *testing.T) {
	for text, want := range map[string]payload.Error{
		``:                            {Field: "body", Reason: payload.InvalidJSON},
		`   `:                         {Field: "body", Reason: payload.InvalidJSON},
		`[1]`:                         {Field: "body", Reason: payload.NotAnObject},
		`null`:                        {Field: "body", Reason: payload.NotAnObject},
		`{`:                           {Field: "body", Reason: payload.InvalidJSON},
		`{"a":1,}`:                    {Field: "a", Reason: payload.InvalidJSON},
		`{"a":}`:                      {Field: "a", Reason: payload.InvalidJSON},
		`{a:1}`:                       {Field: "body", Reason: payload.InvalidJSON},
		`{} {}`:                       {Field: "body", Reason: payload.TrailingData},
		`{"a":1,"\u0061":2}`:          {Field: "a", Reason: payload.DuplicateKey},
		`{"a":[{"b":1},{"c":1,"c":2}`: {Field: "a[1].c", Reason: payload.DuplicateKey},
		"{\"a\":{\"b\":\"\xff\"}}":    {Field: "a.b", Reason: payload.InvalidUTF8},
		"\xff":                        {Field: "body", Reason: payload.InvalidUTF8},
	} {
		_, err := payload.Members([]byte(text), "body")
		got, ok := errors.AsType[*payload.Error](err)
		if !ok || got.Field != want.Field || got.Reason != want.Reason || got.Detail == "" {
			t.Errorf("%q: got %+v, want %+v", text, got, want)
		}
	}
}

func TestTextRefusesWhatIsNoText(t *testing.T) {
	for value, want := range map[string]payload.Reason{`1`: payload.InvalidEventID, `null`: payload.InvalidEventID, `"\udc00"`: payload.LoneSurrogate} {
		_, err := payload.Member{Name: "id", Value: []byte(value)}.Text(payload.InvalidEventID)
		if got, ok := errors.AsType[*payload.Error](err); !ok || got.Field != "id" || got.Reason != want {
			t.Errorf("%s: got %+v, want %s", value, got, want)
		}
	}
}

func TestItemsKeepsThemAsTheyStand(t *testing.T) {
	got, err := payload.Items([]byte(` [ {"a":1,"a":2} , 3.0]`), "body", 2)
	if want := [][]byte{[]byte(`{"a":1,"a":2}`), []byte("3.0")}; err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %q, %v; want %q", got, err, want)
	}
	for text, want := range map[string]payload.Reason{
		`[1,2,3]`: payload.TooLarge, `{}`: payload.NotAnObject, `[1`: payload.InvalidJSON, `[1,]`: payload.InvalidJSON, `[] 1`: payload.TrailingData, ``: payload.InvalidJSON,
	} {
		_, err := payload.Items([]byte(text), "body", 2)
		if got, ok := errors.AsType[*payload.Error](err); !ok || got.Reason != want || got.Detail == "" {
			t.Errorf("%q: got %+v, want %s", text, got, want)
		}
	}
}

func FuzzMembers(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		before := bytes.Clone(text)
		members, err := payload.Members(text, "body")
		if !bytes.Equal(before, text) {
			t.Fatalf("Members changed its input %q to %q", before, text)
		}
		if err != nil {
			if found, ok := errors.AsType[*payload.Error](err); !ok || found.Field == "" {
				t.Fatalf("the error %T %+v", err, err)
			}
			return
		}
		for i, member := range members {
			again, err := payload.Members([]byte(`{"a":`+string(member.Value)+`}`), "body")
			if err != nil || !bytes.Equal(again[0].Value, member.Value) {
				t.Fatalf("member %d is %q, read again %q, %v", i, member.Value, again, err)
			}
		}
	})
}

func TestIsShallow(t *testing.T) {
	for text, want := range map[string]bool{
		`{"a":[1,{"a":null}]}`: true, "1": true, `"a"`: true, " [] ": true, `{"a":1,"a":2}`: true,
		"": false, " ": false, "{": false, "1 2": false, "[]]": false, "nul": false,
		strings.Repeat("[", 64) + strings.Repeat("]", 64):           true,
		strings.Repeat("[", 65) + strings.Repeat("]", 65):           false,
		strings.Repeat("[", 8191) + strings.Repeat("]", 8191):       false,
		strings.Repeat(`{"a":`, 65) + "1" + strings.Repeat("}", 65): false,
	} {
		if got := payload.IsShallow([]byte(text)); got != want {
			t.Errorf("%.80s: got %t", text, got)
		}
	}
}
