// SPDX-License-Identifier: Apache-2.0

package client

import (
	"crypto/rand"
	"encoding/binary"
	"time"
)

// newEventID makes an id as the API does: evt_ and a ULID, which is 48 bits of
// milliseconds and 80 of chance in Crockford's base32.
func newEventID(now time.Time) string {
	const alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	var bits [16]byte
	_, _ = rand.Read(bits[:]) // never fails: crypto/rand ends the program first
	milliseconds := uint64(max(now.UnixMilli(), 0))
	high := milliseconds<<16 | uint64(binary.BigEndian.Uint16(bits[:]))
	low := binary.BigEndian.Uint64(bits[8:])
	var text [26]byte
	for i := len(text) - 1; i >= 0; i-- {
		text[i] = alphabet[low&31]
		low, high = low>>5|high<<59, high>>5
	}
	return "evt_" + string(text[:])
}
