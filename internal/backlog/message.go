// SPDX-License-Identifier: Apache-2.0

package backlog

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"github.com/klauspost/compress/s2"
	"google.golang.org/protobuf/encoding/protowire"
)

// A message of the log is a byte of version, the CRC-32C of the rest in four bytes of
// little endian, and a block of S2: frames as fields of Protocol Buffers, so that a
// later member is passed over by who does not know it.
const (
	// MaxMessageBytes is how large a message of more than one frame is, MaxMessageFrames
	// how many it holds.
	MaxMessageBytes  = 64 << 10
	MaxMessageFrames = 128
	// MaxDecodedBytes is how large the block of a message is before it is compressed. It
	// is more than the largest payload.
	MaxDecodedBytes = 512 << 10

	messageVersion = 1
	headerBytes    = 1 + crc32.Size
)

var (
	// ErrNewerVersion says that a later version of this program wrote a message. It must
	// be left in the log.
	ErrNewerVersion = errors.New("the message was written by a newer version")
	// ErrCorrupt says that a message is not what was written.
	ErrCorrupt = errors.New("the message is corrupt")
)

// Numbers of the fields of a message and of a frame. They are never used anew.
const (
	fieldFrame protowire.Number = 1

	fieldEventID     protowire.Number = 1
	fieldEventType   protowire.Number = 2
	fieldAccepted    protowire.Number = 3
	fieldPayload     protowire.Number = 4
	fieldTraceParent protowire.Number = 5
	fieldPublisher   protowire.Number = 6
	fieldAttempts    protowire.Number = 7
	fieldLastOutcome protowire.Number = 8
	fieldNotBefore   protowire.Number = 9
)

// Encode makes a message of the first n frames: as many as fit, one at least. It
// returns an error if that one is larger than MaxDecodedBytes.
func Encode(frames []Frame) (message []byte, n int, err error) {
	var block []byte
	for n < min(len(frames), MaxMessageFrames) {
		longer := appendFrame(block, &frames[n])
		if len(longer) > MaxDecodedBytes {
			break
		}
		block = longer
		n++
	}
	if n == 0 {
		return nil, 0, fmt.Errorf("the delivery of event %s is larger than %d bytes", frames[0].EventID, MaxDecodedBytes)
	}
	message = encodeBlock(block)
	if n > 1 && len(message) > MaxMessageBytes {
		return Encode(frames[:n/2])
	}
	return message, n, nil
}

func encodeBlock(block []byte) []byte {
	message := make([]byte, headerBytes, headerBytes+s2.MaxEncodedLen(len(block)))
	compressed := s2.Encode(message[headerBytes:cap(message)], block)
	return seal(message[:headerBytes+len(compressed)])
}

// seal writes the header before a block.
func seal(message []byte) []byte {
	message[0] = messageVersion
	binary.LittleEndian.PutUint32(message[1:], checksum(message[headerBytes:]))
	return message
}

func checksum(compressed []byte) uint32 {
	return crc32.Checksum(compressed, crc32.MakeTable(crc32.Castagnoli))
}

func appendFrame(block []byte, f *Frame) []byte {
	var b []byte
	b = appendText(b, fieldEventID, f.EventID)
	b = appendText(b, fieldEventType, f.EventType)
	b = appendTime(b, fieldAccepted, f.Accepted)
	if len(f.Payload) > 0 {
		b = protowire.AppendBytes(protowire.AppendTag(b, fieldPayload, protowire.BytesType), f.Payload)
	}
	b = appendText(b, fieldTraceParent, f.TraceParent)
	b = appendText(b, fieldPublisher, f.Publisher)
	if f.Attempts > 0 {
		b = protowire.AppendTag(b, fieldAttempts, protowire.VarintType)
		b = protowire.AppendVarint(b, uint64(f.Attempts))
	}
	b = appendText(b, fieldLastOutcome, f.LastOutcome)
	b = appendTime(b, fieldNotBefore, f.NotBefore)
	block = protowire.AppendTag(block, fieldFrame, protowire.BytesType)
	return protowire.AppendBytes(block, b)
}

func appendText(b []byte, field protowire.Number, text string) []byte {
	if text == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), text)
}

func appendTime(b []byte, field protowire.Number, t time.Time) []byte {
	if t.IsZero() {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), protowire.EncodeZigZag(t.UnixNano()))
}

// Decode returns the frames of a message, whose payloads share memory. Its errors are
// ErrNewerVersion and ErrCorrupt. It allocates no more than MaxDecodedBytes and as much
// again, whatever the message says.
func Decode(message []byte) ([]Frame, error) {
	switch {
	case len(message) > 0 && message[0] > messageVersion:
		return nil, fmt.Errorf("%w: format %d, known up to %d", ErrNewerVersion, message[0], messageVersion)
	case len(message) < headerBytes || message[0] != messageVersion:
		return nil, fmt.Errorf("%w: no header", ErrCorrupt)
	}
	compressed := message[headerBytes:]
	if checksum(compressed) != binary.LittleEndian.Uint32(message[1:]) {
		return nil, fmt.Errorf("%w: its checksum differs", ErrCorrupt)
	}
	if size, err := s2.DecodedLen(compressed); err != nil || size > MaxDecodedBytes {
		return nil, fmt.Errorf("%w: a block of %d bytes, of %d", ErrCorrupt, size, MaxDecodedBytes)
	}
	block, err := s2.Decode(nil, compressed)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrCorrupt, err)
	}
	var frames []Frame
	err = eachField(block, func(field protowire.Number, _ uint64, content []byte) error {
		if field != fieldFrame {
			return nil
		}
		if len(frames) == MaxMessageFrames {
			return fmt.Errorf("%w: more than %d deliveries", ErrCorrupt, MaxMessageFrames)
		}
		frames = append(frames, Frame{})
		return decodeFrame(content, &frames[len(frames)-1])
	})
	return frames, err
}

func decodeFrame(content []byte, f *Frame) error {
	return eachField(content, func(field protowire.Number, number uint64, content []byte) error {
		switch field {
		case fieldEventID:
			f.EventID = string(content)
		case fieldEventType:
			f.EventType = string(content)
		case fieldAccepted:
			f.Accepted = time.Unix(0, protowire.DecodeZigZag(number))
		case fieldPayload:
			f.Payload = slices.Clip(content) // so that no append writes over what follows
		case fieldTraceParent:
			f.TraceParent = string(content)
		case fieldPublisher:
			f.Publisher = string(content)
		case fieldAttempts:
			f.Attempts = int(number & 0x7fffffff)
		case fieldLastOutcome:
			f.LastOutcome = string(content)
		case fieldNotBefore:
			f.NotBefore = time.Unix(0, protowire.DecodeZigZag(number))
		}
		return nil
	})
}

// eachField calls do with each field: its number, or its content.
func eachField(block []byte, do func(field protowire.Number, number uint64, content []byte) error) error {
	for len(block) > 0 {
		field, kind, n := protowire.ConsumeTag(block)
		if n < 0 {
			return fmt.Errorf("%w: %w", ErrCorrupt, protowire.ParseError(n))
		}
		block = block[n:]
		var number uint64
		var content []byte
		switch kind {
		case protowire.VarintType:
			number, n = protowire.ConsumeVarint(block)
		case protowire.BytesType:
			content, n = protowire.ConsumeBytes(block)
		default:
			n = protowire.ConsumeFieldValue(field, kind, block)
		}
		if n < 0 {
			return fmt.Errorf("%w: %w", ErrCorrupt, protowire.ParseError(n))
		}
		if err := do(field, number, content); err != nil {
			return err
		}
		block = block[n:]
	}
	return nil
}
