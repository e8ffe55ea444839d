// SPDX-License-Identifier: Apache-2.0

package memory

import (
	"context"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	// giveBackEvery is how often a process looks whether it has been quiet.
	giveBackEvery = 2 * time.Second
	// quietBytes is how much a quiet process allocates from one look to the next.
	quietBytes = 16 << 20
	// giveBackBytes, and a tenth, is how much more than what was needed lately is
	// worth a collection. Go's heap grows by 4 MiB at a time.
	giveBackBytes = 2 << 20
	// giveBackShare is how many times as long as it took a process goes on without the
	// next one: collecting a large heap between bursts takes 2 % of the time at most.
	giveBackShare = 50
)

// GiveBack returns what a burst has left to the system, until ctx ends. Go by itself
// collects a quiet process every two minutes, and lets what it has taken go over
// many more. A process that is busy is left alone.
func GiveBack(ctx context.Context) {
	tick := time.NewTicker(giveBackEvery)
	defer tick.Stop()
	g := giver{now: time.Now, free: func() {
		runtime.GC() // what is in a sync.Pool goes with the second one
		debug.FreeOSMemory()
	}}
	for {
		select {
		case <-tick.C:
			g.look(readHeap)
		case <-ctx.Done():
			return
		}
	}
}

// heap is how much was allocated since the process began, and how much of the heap
// is in memory.
type heap struct{ allocated, resident uint64 }

func readHeap() heap {
	samples := []metrics.Sample{
		{Name: "/gc/heap/allocs:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"}, {Name: "/memory/classes/heap/unused:bytes"}, {Name: "/memory/classes/heap/free:bytes"},
	}
	metrics.Read(samples)
	h := heap{allocated: samples[0].Value.Uint64()}
	for _, sample := range samples[1:] {
		h.resident += sample.Value.Uint64()
	}
	return h
}

// giver decides when to give memory back.
type giver struct {
	free   func()
	now    func() time.Time
	seen   uint64    // allocated at the last look
	needed uint64    // resident after memory was given back, or less since
	rested time.Time // nothing is given back before
}

func (g *giver) look(read func() heap) {
	now := read()
	quiet := now.allocated-g.seen <= quietBytes
	g.seen, g.needed = now.allocated, min(g.needed, now.resident)
	if !quiet || now.resident <= g.needed+g.needed/10+giveBackBytes || g.now().Before(g.rested) {
		return
	}
	began := g.now()
	g.free()
	g.rested = g.now().Add(giveBackShare * g.now().Sub(began))
	after := read()
	g.seen, g.needed = after.allocated, after.resident
}
