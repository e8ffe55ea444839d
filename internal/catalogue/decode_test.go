// SPDX-License-Identifier: Apache-2.0

package catalogue

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"bbmcp.quietstack.com/webhooks/internal/payload"
)

// Of everything that an event may hold, decode makes what the schema library
// itself makes.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{}`, `{"a":[1,-2.5,1e21,0.1],"b":{"c":null,"d":[true,false]},"":""}`, `{"s":"\u00e9\ud83d\ude00\n","\u0061":"ü"}`,
		`{"a":[1e400,1e-400,4.9E-324,0e99999]}`, `{"n":1` + strings.Repeat("0", 500) + `e-500}`, `{"a":` + strings.Repeat("[", 70) + strings.Repeat("]", 70) + `}`,
		`{"a":1,"a":2}`, `[1]`, `{} {}`, `{"a"`, `nonsense`, ` {"a" : [ ] } `,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _ = decodeDocument(data) // ends, whatever it is
		body, err := payload.Build("a", time.Unix(0, 0), data)
		if err != nil {
			return
		}
		data = payload.DataOf(body)
		got, err := decodeDocument(data)
		want, wantErr := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err != nil || wantErr != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %#v, %v, want %#v, %v", data, got, err, want, wantErr)
		}
	})
}

func BenchmarkValidate(b *testing.B) {
	schema, err := Compile(`{"type":"object","required":["id"],"properties":{"id":{"type":"string"},"n":{"type":"integer","minimum":0}}}`)
	if err != nil {
		b.Fatal(err)
	}
	data := []byte(`{"id":"ctx_1","n":123,"agent":{"id":"agent","tags":["a","b"]},"note":"` + string(bytes.Repeat([]byte("x"), 900)) + `"}`)
	b.ReportAllocs()
	for b.Loop() {
		if err := schema.Validate(b.Context(), data); err != nil {
			b.Fatal(err)
		}
	}
}
