// SPDX-License-Identifier: Apache-2.0

package attempt

// chain is a doubly linked list whose links live in its members, so that a
// member can leave from anywhere without a search or an allocation.
type chain[T any] struct {
	head, tail *node[T]
	n          int
}

// node is a member's place in one chain. A value that can be in two chains at
// once has two nodes.
type node[T any] struct {
	prev, next *node[T]
	in         *chain[T]
	value      *T
}

// first returns the value at the head, nil if there is none.
func (c *chain[T]) first() *T {
	if c.head == nil {
		return nil
	}
	return c.head.value
}

func (c *chain[T]) pushBack(n *node[T])  { c.insert(n, c.tail, nil) }
func (c *chain[T]) pushFront(n *node[T]) { c.insert(n, nil, c.head) }

// insert puts n, which is in no chain, between two neighbours.
func (c *chain[T]) insert(n, prev, next *node[T]) {
	n.prev, n.next, n.in = prev, next, c
	if prev == nil {
		c.head = n
	} else {
		prev.next = n
	}
	if next == nil {
		c.tail = n
	} else {
		next.prev = n
	}
	c.n++
}

// leave takes n out of the chain it is in, if any.
func (n *node[T]) leave() {
	c := n.in
	if c == nil {
		return
	}
	if n.prev == nil {
		c.head = n.next
	} else {
		n.prev.next = n.next
	}
	if n.next == nil {
		c.tail = n.prev
	} else {
		n.next.prev = n.prev
	}
	n.prev, n.next, n.in = nil, nil, nil
	c.n--
}
