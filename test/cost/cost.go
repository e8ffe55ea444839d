// SPDX-License-Identifier: Apache-2.0

package cost

import (
	"runtime"
	"testing"
	"time"
)

// Most is what handling so many bytes may cost.
type Most struct {
	// Bytes of memory may be allocated in any case, PerByte more for each byte.
	Bytes, PerByte uint64
	// CPU time may be used in any case, CPUPerByte more for each byte.
	CPU, CPUPerByte time.Duration
}

// Linear is what most parsers cost at most: for each byte a level of nesting, and some
// hundred instructions for a byte, with the race detector or coverage on.
var Linear = Most{Bytes: 64 << 10, PerByte: 256, CPU: 50 * time.Millisecond, CPUPerByte: 2 * time.Microsecond} //nolint:gochecknoglobals // a constant

// Within calls f, which handles so many bytes, and fails t if it costs more.
func (m Most) Within(t testing.TB, size int, f func()) {
	t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before, began := allocatedBytes(), threadTime()
	f()
	cpu, memory := threadTime()-began, allocatedBytes()-before
	if most := m.CPU + m.CPUPerByte*time.Duration(size); cpu > most {
		t.Errorf("%d bytes cost %v of CPU, at most %v may be", size, cpu, most)
	}
	if most := m.Bytes + m.PerByte*uint64(size); memory > most {
		t.Errorf("%d bytes cost %d bytes of memory, at most %d may be", size, memory, most)
	}
}

func allocatedBytes() uint64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.TotalAlloc
}
