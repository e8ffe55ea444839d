// SPDX-License-Identifier: Apache-2.0

package multiplex

import (
	"bufio"
	"bytes"
	"testing"
)

// Whatever is read is bounded and is written as it was.
func FuzzReadFrame(f *testing.F) {
	const limit = 64
	f.Add([]byte{0, 0, 0, 2, 0, 0, 0, 7, 1, 'h', 'i'})
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 7, 4})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0, 7, 1})
	f.Fuzz(func(t *testing.T, wire []byte) {
		head, body, err := readFrame(bufio.NewReader(bytes.NewReader(wire)), limit)
		if err != nil {
			return
		}
		var pool framePool
		written := pool.get(head.call, head.kind)
		written.bytes = append(written.bytes, body...)
		written.seal()
		if len(body) > limit || !bytes.HasPrefix(wire, written.bytes) {
			t.Errorf("%x was read as %+v, %x", wire, head, body)
		}
	})
}
