// SPDX-License-Identifier: Apache-2.0

package multiplex

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"sync"
)

// A frame is the length of its body in four bytes, most significant first, the
// number of its call in four, its kind in one, and the body. In a request the
// kind is the method, which the user of this package chooses; in what comes
// back it is one of those below.
const (
	// kindAnswer: the body is what the handler returned.
	kindAnswer = byte(iota + 1)
	// kindMalformed: the handler could not read the request.
	kindMalformed
	// kindNotTaken: the server drains, or has too much to do.
	kindNotTaken
	// kindBye: nothing that this connection has not answered was or will be
	// taken. It is the last frame, and belongs to no call.
	kindBye
	// kindFull: the requests that the server holds fill the room it has for them,
	// whose size in bytes is the body: eight bytes, most significant first. It has
	// not taken this one, which can come again once others have ended.
	kindFull
)

const (
	headerBytes = 9
	bufferBytes = 32 << 10 // of a reader
	// keepBytes is how large a frame may be to be used again: the few that are
	// larger would hold on to memory.
	keepBytes = 16 << 10
)

var errTooLong = errors.New("frame too long")

// frameHeader is what precedes the body of a frame, but for its length.
type frameHeader struct {
	call uint32
	kind byte
}

// frame is one to be written.
type frame struct {
	call  uint32
	bytes []byte // header included
}

// framePool keeps frames that have been written.
type framePool struct{ pool sync.Pool }

// get returns a frame with a header whose length is not set yet.
func (f *framePool) get(call uint32, kind byte) *frame {
	made, ok := f.pool.Get().(*frame)
	if !ok {
		made = &frame{}
	}
	made.call = call
	made.bytes = binary.BigEndian.AppendUint32(append(made.bytes[:0], 0, 0, 0, 0), call)
	made.bytes = append(made.bytes, kind)
	return made
}

func (f *framePool) put(done *frame) {
	if cap(done.bytes) <= keepBytes {
		f.pool.Put(done)
	}
}

// seal sets the length once the body is whole.
func (f *frame) seal() {
	binary.BigEndian.PutUint32(f.bytes, uint32(len(f.bytes)-headerBytes)) //nolint:gosec // G115: senders bound their bodies
}

// readFrame reads one frame whose body has at most limit bytes.
func readFrame(r *bufio.Reader, limit int) (frameHeader, []byte, error) {
	read, length, err := readFrameHeader(r, limit)
	if err != nil {
		return frameHeader{}, nil, err
	}
	body, err := readFrameBody(r, length)
	return read, body, err
}

// readFrameHeader reads what precedes the body, which has at most limit bytes.
func readFrameHeader(r *bufio.Reader, limit int) (read frameHeader, length int, err error) {
	head, err := r.Peek(headerBytes)
	if err != nil {
		if errors.Is(err, io.EOF) && len(head) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return frameHeader{}, 0, err
	}
	size := binary.BigEndian.Uint32(head)
	read = frameHeader{call: binary.BigEndian.Uint32(head[4:]), kind: head[8]}
	if uint64(size) > uint64(limit) { //nolint:gosec // G115: limits are constants
		return frameHeader{}, 0, errTooLong
	}
	_, _ = r.Discard(headerBytes) // just peeked at
	return read, int(size), nil
}

func readFrameBody(r *bufio.Reader, length int) ([]byte, error) {
	body := make([]byte, length)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	return body, nil
}
