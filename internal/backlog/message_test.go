// SPDX-License-Identifier: Apache-2.0

package backlog

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

func fullFrame() Frame {
	return Frame{
		EventID: "evt_1", EventType: "context.created", Accepted: time.Unix(1e9, 1), Payload: []byte(`{"id":"evt_1"}`),
		TraceParent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Publisher: "system:serviceaccount:shop:publisher",
		Attempts: 3, LastOutcome: "503", NotBefore: time.Unix(1e9+60, 0),
	}
}

func encode(t *testing.T, frames ...Frame) []byte {
	t.Helper()
	message, n, err := Encode(frames)
	if err != nil || n != len(frames) {
		t.Fatalf("%d of %d frames: %v", n, len(frames), err)
	}
	return message
}

func TestFramesComeBackAsTheyWere(t *testing.T) {
	v := reflect.ValueOf(fullFrame())
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("%s is not tried", v.Type().Field(i).Name)
		}
	}
	want := []Frame{fullFrame(), {EventID: "evt_2"}, fullFrame()}
	got, err := Decode(encode(t, want...))
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

// random are bytes that do not compress.
func random(n int) []byte {
	all := make([]byte, n)
	source := rand.NewChaCha8([32]byte{1})
	_, _ = source.Read(all)
	return all
}

func TestAMessageHoldsWhatFits(t *testing.T) {
	tests := []struct {
		name         string
		payload      []byte
		frames, want int
	}{
		{"one", []byte("x"), 1, 1},
		{"many small ones", []byte("x"), 1000, MaxMessageFrames},
		{"a kilobyte each that compresses", bytes.Repeat([]byte("abcd"), 256), 1000, MaxMessageFrames},
		{"a kilobyte each that does not", random(1024), 1000, MaxMessageFrames}, // the same one
		{"the largest payload", random(256 << 10), 3, 1},
		{"large ones that compress", make([]byte, 200<<10), 8, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			frames := make([]Frame, tt.frames)
			for i := range frames {
				frames[i] = Frame{EventID: fmt.Sprint(i), Payload: tt.payload}
			}
			message, n, err := Encode(frames)
			if err != nil || n != tt.want {
				t.Fatalf("%d frames, want %d; %v", n, tt.want, err)
			}
			if n > 1 && len(message) > MaxMessageBytes {
				t.Errorf("%d bytes", len(message))
			}
			if got, err := Decode(message); err != nil || len(got) != n {
				t.Errorf("%d frames come back: %v", len(got), err)
			}
		})
	}
}

func TestAFrameThatIsTooLargeIsRefused(t *testing.T) {
	if _, _, err := Encode([]Frame{{EventID: "evt_1", Payload: make([]byte, MaxDecodedBytes)}}); err == nil || !strings.Contains(err.Error(), "evt_1") {
		t.Errorf("got %v", err)
	}
}

func TestMessagesThatAreNotWhatWasWritten(t *testing.T) {
	good := encode(t, fullFrame())
	changed := func(change func([]byte) []byte) []byte { return change(bytes.Clone(good)) }
	tests := []struct {
		name    string
		message []byte
		want    error
	}{
		{"empty", nil, ErrCorrupt},
		{"of version 0", changed(func(m []byte) []byte { m[0] = 0; return m }), ErrCorrupt},
		{"of a later version", changed(func(m []byte) []byte { m[0] = messageVersion + 1; return m }), ErrNewerVersion},
		{"cut", good[:len(good)-1], ErrCorrupt},
		{"a bit is not as it was", changed(func(m []byte) []byte { m[len(m)-3] ^= 4; return m }), ErrCorrupt},
		{"too many frames", encodeBlock(bytes.Repeat([]byte{0x0a, 0}, MaxMessageFrames+1)), ErrCorrupt},
		{"too large", encodeBlock(make([]byte, MaxDecodedBytes+1)), ErrCorrupt},
		{"half a field", encodeBlock([]byte{0x0a, 100, 1}), ErrCorrupt},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Decode(tt.message); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// TestALaterMemberIsPassedOver: a frame of the next version is read by this one.
func TestALaterMemberIsPassedOver(t *testing.T) {
	frame := protowire.AppendTag(nil, 99, protowire.Fixed64Type)
	frame = protowire.AppendFixed64(frame, 7)
	frame = appendText(frame, fieldEventID, "evt_1")
	block := protowire.AppendTag(nil, 98, protowire.VarintType)
	block = protowire.AppendVarint(block, 7)
	block = protowire.AppendBytes(protowire.AppendTag(block, fieldFrame, protowire.BytesType), frame)
	got, err := Decode(encodeBlock(block))
	if err != nil || len(got) != 1 || got[0].EventID != "evt_1" {
		t.Errorf("got %+v, %v", got, err)
	}
}

// FuzzDecode: whatever the bytes are, they cost no more than Decode says, and what is
// read is what is written again.
func FuzzDecode(f *testing.F) {
	message, _, err := Encode([]Frame{fullFrame(), {EventID: "evt_2"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(message[headerBytes:])
	f.Add(encodeBlock([]byte{0x0a, 100, 1})[headerBytes:])
	f.Add([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}) // a block of 4 GiB
	f.Fuzz(func(t *testing.T, compressed []byte) {
		message := seal(append(make([]byte, headerBytes), compressed...))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		frames, err := Decode(message)
		runtime.ReadMemStats(&after)
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 2*MaxDecodedBytes+64<<10 {
			t.Errorf("%d bytes allocated", allocated)
		}
		if err != nil || len(frames) == 0 {
			return
		}
		for i := range frames { // an empty member is written as none
			frames[i].Payload = append([]byte(nil), frames[i].Payload...)
		}
		again, n, err := Encode(frames)
		if err != nil || n < 1 {
			t.Fatalf("%d frames: %v", n, err)
		}
		if got, err := Decode(again); err != nil || !reflect.DeepEqual(got, frames[:n]) {
			t.Errorf("got %+v, %v, want %+v", got, err, frames[:n])
		}
	})
}
