// SPDX-License-Identifier: Apache-2.0

package attempt

import "container/heap"

// rotation lets groups of webhooks take turns: the webhooks of a namespace form
// a group, the group that waits longest comes first, and within a group the
// webhook that waits longest. Linking, unlinking and serving cost O(log groups).
type rotation struct {
	groups groupHeap
}

// group is the webhooks of one namespace in one rotation.
type group struct {
	turn  int64 // lower is earlier
	index int   // in the heap, if hooks is not empty
	hooks chain[webhook]
}

// head returns the group whose turn it is, nil if there is none.
func (ro *rotation) head() *group {
	if len(ro.groups) == 0 {
		return nil
	}
	return ro.groups[0]
}

// link puts a webhook at the end of its group. A group that was empty takes
// its place by the given turn.
func (ro *rotation) link(g *group, h *webhook, turn int64) {
	g.hooks.pushBack(&h.seat)
	if g.hooks.n == 1 {
		g.turn = turn
		heap.Push(&ro.groups, g)
	}
}

// linkFirst puts a webhook where it comes next.
func (ro *rotation) linkFirst(g *group, h *webhook) {
	turn := int64(0)
	if first := ro.head(); first != nil {
		turn = first.turn - 1
	}
	g.hooks.pushFront(&h.seat)
	g.turn = turn
	if g.hooks.n == 1 {
		heap.Push(&ro.groups, g)
		return
	}
	heap.Fix(&ro.groups, g.index)
}

// unlink takes a webhook out of its group.
func (ro *rotation) unlink(g *group, h *webhook) {
	h.seat.leave()
	if g.hooks.n == 0 {
		heap.Remove(&ro.groups, g.index)
	}
}

// delay gives a group, if it waits here, a later turn.
func (ro *rotation) delay(g *group, turn int64) {
	if g.hooks.n == 0 {
		return
	}
	g.turn = turn
	heap.Fix(&ro.groups, g.index)
}

// groupHeap implements heap.Interface, by turn.
type groupHeap []*group

func (h groupHeap) Len() int           { return len(h) }
func (h groupHeap) Less(i, j int) bool { return h[i].turn < h[j].turn }
func (h groupHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *groupHeap) Push(x any) {
	g := x.(*group)
	g.index = len(*h)
	*h = append(*h, g)
}

func (h *groupHeap) Pop() any {
	last := len(*h) - 1
	g := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return g
}
