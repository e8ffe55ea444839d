// SPDX-License-Identifier: Apache-2.0

package payload_test

import (
	"fmt"
	"strings"
	"testing"

	"bbmcp.quietstack.com/webhooks/internal/payload"
)

// document returns an object of about size bytes of what events hold: ids,
// hashes, counts, fractions, nested objects and arrays.
func document(size int) []byte {
	var b strings.Builder
	b.WriteString(`{"items":[`)
	for i := 0; b.Len() < size-300; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"context_id":"ctx_%016x","block_number":%d,"confidence":0.%d,"gas":1.5e4,`+
			`"note":"line one\nline \"two\"","tags":["a","b","ünïcode"],"10":true,"meta":{"version":"1.0","parent":null}}`, i*7919, 123456789+i, 950+i%49)
	}
	b.WriteString(`],"status":"confirmed"}`)
	return []byte(b.String())
}

func BenchmarkBuild(b *testing.B) {
	for _, size := range []int{1 << 10, 255 << 10} {
		data := document(size)
		b.Run(fmt.Sprintf("%dKiB", (size+1023)>>10), func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := payload.Build("context.confirmed", stamp, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCheck(b *testing.B) {
	for _, size := range []int{1 << 10, 255 << 10} {
		body, err := payload.Build("context.confirmed", stamp, document(size))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprintf("%dKiB", (size+1023)>>10), func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := payload.Check(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
