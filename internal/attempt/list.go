// SPDX-License-Identifier: Apache-2.0

package attempt

// list is a doubly linked list whose links live in its members, so that a
// member can leave from anywhere without a search or an allocation.
type list[T any] struct {
	head, tail *node[T]
	n          int
}

// node is a member's place in one list. A value that can be in two lists at
// once has two nodes.
type node[T any] struct {
	prev, next *node[T]
	list       *list[T]
	value      *T
}

// first returns the value at the head, nil if there is none.
func (l *list[T]) first() *T {
	if l.head == nil {
		return nil
	}
	return l.head.value
}

func (l *list[T]) pushBack(n *node[T])  { l.insert(n, l.tail, nil) }
func (l *list[T]) pushFront(n *node[T]) { l.insert(n, nil, l.head) }

// insert puts n, which is in no list, between two neighbours.
func (l *list[T]) insert(n, prev, next *node[T]) {
	n.prev, n.next, n.list = prev, next, l
	if prev == nil {
		l.head = n
	} else {
		prev.next = n
	}
	if next == nil {
		l.tail = n
	} else {
		next.prev = n
	}
	l.n++
}

// detach takes n out of the list it is in, if any.
func (n *node[T]) detach() {
	l := n.list
	if l == nil {
		return
	}
	if n.prev == nil {
		l.head = n.next
	} else {
		n.prev.next = n.next
	}
	if n.next == nil {
		l.tail = n.prev
	} else {
		n.next.prev = n.prev
	}
	n.prev, n.next, n.list = nil, nil, nil
	l.n--
}
