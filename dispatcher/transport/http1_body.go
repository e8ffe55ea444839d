// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"bufio"
	"errors"
	"io"
	"net/http/httputil"
	"sync"
)

// pieces are what bodies are read into.
var pieces = sync.Pool{New: func() any { return new([4 << 10]byte) }} //nolint:gochecknoglobals // a pool

// readBody reads a body to its end, or as much of it as may be read, and returns
// its beginning. whole says that it ended as it should, so that what follows on the
// connection is the next answer.
func (h *http1Head) readBody(r *bufio.Reader) (excerpt []byte, whole bool) {
	switch h.framing {
	case framingNone:
		return nil, true
	case framingLength:
		if h.length == 0 {
			return nil, true
		}
		excerpt, n, _ := drainHTTP1Body(io.LimitReader(r, h.length))
		return excerpt, n == h.length
	case framingChunked:
		excerpt, _, ended := drainHTTP1Body(httputil.NewChunkedReader(r))
		return excerpt, ended && skipHTTP1Trailers(r)
	case framingClose:
	}
	excerpt, _, _ = drainHTTP1Body(r)
	return excerpt, false
}

// drainHTTP1Body reads until the end or the limit.
func drainHTTP1Body(r io.Reader) (excerpt []byte, n int64, ended bool) {
	piece, ok := pieces.Get().(*[4 << 10]byte)
	if !ok {
		return nil, 0, false
	}
	defer pieces.Put(piece)
	for n <= maxDrainBytes {
		read, err := r.Read(piece[:])
		n += int64(read)
		if read > 0 && len(excerpt) < excerptBytes {
			excerpt = appendAnswerExcerpt(excerpt, piece[:read])
		}
		if err != nil {
			return excerpt, n, errors.Is(err, io.EOF)
		}
	}
	return excerpt, n, false
}

// skipHTTP1Trailers reads what comes after the last chunk.
func skipHTTP1Trailers(r *bufio.Reader) bool {
	trailers := http1HeadReader{r: r, left: maxHeadBytes}
	for {
		line, err := trailers.line()
		if err != nil || len(line) == 0 {
			return err == nil
		}
	}
}
