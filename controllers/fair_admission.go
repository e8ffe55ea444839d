// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// pace lets deliveries that have to be looked at for one cause into the queue a
// few at a time. Hundreds of attempts to endpoints that hang end in the same
// moment, thousands of deliveries are held when their webhook is suspended, and
// each costs a write: all at once they would take every worker and most of the
// API server from deliveries that are due. Namespaces take turns; within one,
// who came first is first.
//
// A turn ends with the reconcile that it led to, whatever came of that, so none
// can be lost.
type pace struct {
	mu      sync.Mutex
	limit   int
	turns   map[types.NamespacedName]struct{}
	waiting map[types.NamespacedName]struct{}
	lines   map[string][]types.NamespacedName // those that wait, by namespace
	order   []string                          // namespaces with a line, next first
}

// newPace returns a pace of that many at a time, at least one.
func newPace(limit int) *pace {
	return &pace{
		limit: max(1, limit), turns: map[types.NamespacedName]struct{}{},
		waiting: map[types.NamespacedName]struct{}{}, lines: map[string][]types.NamespacedName{},
	}
}

// begin reports whether a delivery may be enqueued now. If not, done names it
// when its turn has come; one that waits already waits once.
func (p *pace) begin(delivery types.NamespacedName) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, has := p.turns[delivery]; has {
		return true
	}
	if len(p.turns) < p.limit {
		p.turns[delivery] = struct{}{}
		return true
	}
	if _, waits := p.waiting[delivery]; waits {
		return false
	}
	p.waiting[delivery] = struct{}{}
	line, stands := p.lines[delivery.Namespace]
	if !stands {
		p.order = append(p.order, delivery.Namespace)
	}
	p.lines[delivery.Namespace] = append(line, delivery)
	return false
}

// done ends the turn of a delivery, if it has one, and names the one whose turn
// it is then.
func (p *pace) done(delivery types.NamespacedName) (next types.NamespacedName, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, has := p.turns[delivery]; !has {
		return next, false
	}
	delete(p.turns, delivery)
	if len(p.order) == 0 {
		return next, false
	}
	namespace := p.order[0]
	p.order = p.order[1:]
	line := p.lines[namespace]
	next, line = line[0], line[1:]
	if len(line) == 0 {
		delete(p.lines, namespace)
	} else {
		p.lines[namespace] = line
		p.order = append(p.order, namespace)
	}
	delete(p.waiting, next)
	p.turns[next] = struct{}{}
	return next, true
}
