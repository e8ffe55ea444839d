// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// restInterval is how long a process has to have been quiet.
	restInterval = 2 * time.Second
	// restAllocations is what a process at rest allocates in restInterval at most, in bytes.
	restAllocations = 1 << 20
	// restGarbage is from how many bytes on what was allocated since a collection is worth one more.
	restGarbage = 2 << 20
)

// rest tells when a process has come to rest and holds garbage that nothing will
// collect soon: only what is allocated next would start a collection, or Go's own
// every two minutes.
type rest struct{ allocated uint64 }

// due is whether to collect now; it is asked every restInterval.
func (r *rest) due(allocated, garbage uint64) bool {
	quiet := allocated-r.allocated <= restAllocations
	r.allocated = allocated
	return quiet && garbage >= restGarbage
}

// giveBackAtRest collects, and gives back to the system, what a burst has left.
func giveBackAtRest(stopped func() bool) {
	var r rest
	for range time.Tick(restInterval) {
		if stopped() {
			return
		}
		if r.due(allocations()) {
			debug.FreeOSMemory()
		}
	}
}

// allocations are the bytes allocated so far, and those in objects that the last
// collection has not marked: garbage, or new.
func allocations() (allocated, garbage uint64) {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(samples)
	return samples[0].Value.Uint64(), samples[1].Value.Uint64() - min(samples[1].Value.Uint64(), inUse())
}
