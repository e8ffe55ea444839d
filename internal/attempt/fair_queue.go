// SPDX-License-Identifier: Apache-2.0

package attempt

import "container/heap"

// fairQueue lets groups of webhooks take turns: the webhooks of a namespace form
// a group, the group that waits longest comes first, and within a group the
// webhook that waits longest. Linking, unlinking and serving cost O(log groups).
type fairQueue struct {
	groups groupHeap
}

// group is the webhooks of one namespace in one fair queue.
type group struct {
	sequence int64 // lower is earlier
	index    int   // in the heap, if webhooks is not empty
	webhooks list[webhook]
}

// head returns the group whose turn it is, nil if there is none.
func (q *fairQueue) head() *group {
	if len(q.groups) == 0 {
		return nil
	}
	return q.groups[0]
}

// link puts a webhook at the end of its group. A group that was empty takes
// its place by the given turn.
func (q *fairQueue) link(g *group, h *webhook, sequence int64) {
	g.webhooks.pushBack(&h.node)
	if g.webhooks.n == 1 {
		g.sequence = sequence
		heap.Push(&q.groups, g)
	}
}

// linkFirst puts a webhook where it comes next.
func (q *fairQueue) linkFirst(g *group, h *webhook) {
	sequence := int64(0)
	if first := q.head(); first != nil {
		sequence = first.sequence - 1
	}
	g.webhooks.pushFront(&h.node)
	g.sequence = sequence
	if g.webhooks.n == 1 {
		heap.Push(&q.groups, g)
		return
	}
	heap.Fix(&q.groups, g.index)
}

// unlink takes a webhook out of its group.
func (q *fairQueue) unlink(g *group, h *webhook) {
	h.node.detach()
	if g.webhooks.n == 0 {
		heap.Remove(&q.groups, g.index)
	}
}

// moveBack gives a group, if it waits here, a later turn.
func (q *fairQueue) moveBack(g *group, sequence int64) {
	if g.webhooks.n == 0 {
		return
	}
	g.sequence = sequence
	heap.Fix(&q.groups, g.index)
}

// groupHeap implements heap.Interface, by turn.
type groupHeap []*group

func (h groupHeap) Len() int           { return len(h) }
func (h groupHeap) Less(i, j int) bool { return h[i].sequence < h[j].sequence }
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
