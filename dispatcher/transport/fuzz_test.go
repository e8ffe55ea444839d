// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"bufio"
	"bytes"
	"testing"
	"testing/iotest"
)

// Whatever an endpoint sends as the head of an answer and after it costs a bounded
// amount of memory, and ends.
func FuzzAnswer(f *testing.F) {
	for _, answer := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 200\n\n", "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nA: b\r\n\r\n", "HTTP/1.0 200 OK\r\nConnection: keep-alive, close\r\nKeep-Alive: timeout=5, max=1\r\n\r\n",
		"HTTP/1.1 429 x\r\nRetry-After: 1\r\n x\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
	} {
		f.Add([]byte(answer))
	}
	f.Fuzz(func(t *testing.T, wire []byte) {
		r := bufio.NewReaderSize(bytes.NewReader(wire), 64)
		heads := http1HeadReader{r: r, left: maxHeadBytes}
		head, err := heads.read()
		if cap(heads.long) > 4*keptValueBytes {
			t.Errorf("%d bytes are kept of a line", cap(heads.long))
		}
		if err != nil {
			return
		}
		a := head.answer
		if a.StatusCode < 101 || a.StatusCode > 999 || len(a.RetryAfter) > keptValueBytes || len(a.Location) > keptValueBytes || len(a.ContentEncoding) > keptValueBytes {
			t.Errorf("%+v", a)
		}
		if head.idle < 0 || head.keepAlive && head.framing == framingClose {
			t.Errorf("%+v", head)
		}
		excerpt, whole := head.readBody(r)
		if len(excerpt) > excerptBytes || whole && head.framing == framingClose {
			t.Errorf("%d bytes of excerpt, whole %v of %+v", len(excerpt), whole, head)
		}
	})
}

// In whatever pieces frames come, the same are found.
func FuzzFrameScanner(f *testing.F) {
	f.Add([]byte{0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8}, 3)
	f.Fuzz(func(t *testing.T, wire []byte, size int) {
		find := func(piece int) (found []http2FrameHeader) {
			var scanner http2FrameScanner
			for rest := wire; len(rest) > 0; {
				n := min(len(rest), piece)
				scanner.scan(rest[:n], func(h http2FrameHeader) { found = append(found, h) })
				rest = rest[n:]
			}
			return found
		}
		whole, pieces := find(max(1, len(wire))), find(max(1, size))
		if len(whole) != len(pieces) || len(whole) > len(wire)/frameHeaderBytes {
			t.Fatalf("%d frames at once, %d in pieces of %d", len(whole), len(pieces), size)
		}
		for i := range whole {
			if whole[i] != pieces[i] {
				t.Errorf("%+v at once, %+v in pieces", whole[i], pieces[i])
			}
		}
	})
}

func TestHeadsComeInPieces(t *testing.T) {
	t.Parallel()
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=5\r\n\r\nok"
	r := bufio.NewReader(iotest.OneByteReader(bytes.NewReader([]byte(answer))))
	heads := http1HeadReader{r: r, left: maxHeadBytes}
	head, err := heads.read()
	if err != nil {
		t.Fatal(err)
	}
	if excerpt, whole := head.readBody(r); string(excerpt) != "ok" || !whole || !head.keepAlive || head.idle.Seconds() != 5 {
		t.Errorf("%q, %v, %+v", excerpt, whole, head)
	}
}
