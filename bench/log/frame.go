// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/nats-io/nats.go"
)

const (
	maxFrames  = 128
	maxEncoded = 64 << 10
	maxDecoded = 512 << 10
	uidBytes   = 16
)

var errTorn = errors.New("a message that cannot be decoded")

// webhook is whose lot it is.
type webhook struct {
	namespace string
	uid       [uidBytes]byte
	stream    int // by hash
}

// webhooks are made up, the same in each run.
func webhooks(n, namespaces, streams int) []webhook {
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same in each run
	all, names := make([]webhook, n), make([]string, namespaces)
	for i := range names {
		names[i] = fmt.Sprintf("%016x%016x", random.Uint64(), random.Uint64())
	}
	for i := range all {
		all[i].namespace = names[i%namespaces]
		binary.BigEndian.PutUint64(all[i].uid[:8], random.Uint64())
		binary.BigEndian.PutUint64(all[i].uid[8:], random.Uint64())
		all[i].stream = hash(all[i].uid, streams)
	}
	return all
}

func parkedStream(n int) string { return fmt.Sprintf("parked-%d", n) }

// hash says in which of the streams a lot is.
func hash(uid [uidBytes]byte, streams int) int {
	h := fnv.New32a()
	_, _ = h.Write(uid[:])
	return int(h.Sum32()) % streams
}

// subject is that of a message of the lot.
func (w webhook) subject(size int) string {
	class := 1
	for _, class = range []int{1, 4, 16, 64, 256} {
		if size <= class<<10 {
			break
		}
	}
	return strings.TrimSuffix(w.subjects(), "*") + fmt.Sprint(class)
}

// subjects are those of all messages of the lot.
func (w webhook) subjects() string {
	return fmt.Sprintf("p.%d.%s.%x.*", w.stream, w.namespace, w.uid)
}

func (w webhook) intake() string { return "i." + w.namespace }

// frame is one event for a lot, or, with a list, for many.
type frame struct {
	event    uint64
	accepted time.Time
	webhooks []webhook // of intake
	payload  []byte
}

// appendFrame is the part of a frame that costs bytes; the rest of its members would be some 100 more.
func appendFrame(to []byte, f *frame) []byte {
	to = binary.AppendUvarint(to, f.event)
	to = binary.AppendVarint(to, f.accepted.UnixNano())
	to = binary.AppendUvarint(to, uint64(len(f.webhooks)))
	for _, w := range f.webhooks {
		to = append(to, w.uid[:]...)
	}
	to = binary.AppendUvarint(to, uint64(len(f.payload)))
	return append(to, f.payload...)
}

func encode(frames []*frame) []byte {
	var plain []byte
	for _, f := range frames {
		plain = appendFrame(plain, f)
	}
	return s2.Encode(nil, plain)
}

// decode returns the frames; webhooks have their uid alone.
func decode(data []byte) (frames []*frame, err error) {
	if n, err := s2.DecodedLen(data); err != nil || n > maxDecoded {
		return nil, errTorn
	}
	plain, err := s2.Decode(nil, data)
	if err != nil {
		return nil, err
	}
	next := func() uint64 {
		v, n := binary.Uvarint(plain)
		if n <= 0 {
			err = errTorn
			return 0
		}
		plain = plain[n:]
		return v
	}
	for len(plain) > 0 && err == nil {
		f := &frame{event: next()}
		nanos, n := binary.Varint(plain)
		if n <= 0 {
			return nil, errTorn
		}
		plain, f.accepted = plain[n:], time.Unix(0, nanos)
		list := next()
		if list*uidBytes > uint64(len(plain)) {
			return nil, errTorn
		}
		f.webhooks = make([]webhook, list)
		for i := range f.webhooks {
			plain = plain[copy(f.webhooks[i].uid[:], plain):]
		}
		size := next()
		if size > uint64(len(plain)) {
			return nil, errTorn
		}
		f.payload, plain = plain[:size], plain[size:]
		frames = append(frames, f)
	}
	return frames, err
}

// message holds as many of the frames as the bounds allow, in order, and says how many these are.
func message(frames []*frame, subject func(size int) string) (*nats.Msg, int) {
	n, plain := 0, 0
	for n < min(len(frames), maxFrames) && (n == 0 || plain+frames[n].bytes() <= maxDecoded) {
		plain += frames[n].bytes()
		n++
	}
	data := encode(frames[:n])
	for len(data) > maxEncoded && n > 1 {
		n /= 2
		data = encode(frames[:n])
	}
	return &nats.Msg{Subject: subject(len(data)), Data: data}, n
}

func (f *frame) bytes() int { return len(f.payload) + uidBytes*len(f.webhooks) + 32 }

// payload is an event of a KiB as they are: names that repeat, values that do not. s2 makes 540 B of one, and 330 of each
// of many.
func payload(random *rand.Rand, kib int) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, `{"type":"com.example.orders.order.confirmed","time":"2026-11-30T12:00:%02dZ","data":{"order":"%x","items":[`,
		random.IntN(60), random.Uint64())
	for b.Len() < kib<<10-100 {
		fmt.Fprintf(&b, `{"sku":"%08x","quantity":%d,"unitPrice":{"amount":%d,"currency":"EUR"},"warehouse":"berlin-2","reference":"%012x"},`,
			random.Uint32(), random.IntN(9), random.IntN(99999), random.Uint64()>>16)
	}
	text := strings.TrimSuffix(b.String(), ",") + `],"customer":"`
	for len(text) < kib<<10-3 {
		text += fmt.Sprintf("%x", random.IntN(16))
	}
	return []byte(text + `"}}`)
}
