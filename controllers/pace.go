// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// pace lets the results of a kind of webhook into the queue a few at a time, in
// the order they came. Hundreds of attempts to endpoints that hang end in the
// same moment, and every result costs a write: all at once they would take every
// worker and most of the API server from deliveries that are due.
//
// A turn ends with the reconcile that it led to, whatever came of that, so none
// can be lost.
type pace struct {
	mu      sync.Mutex
	limit   int
	turns   map[types.NamespacedName]struct{}
	waiting []types.NamespacedName
}

// newPace returns a pace of that many at a time, at least one.
func newPace(limit int) *pace {
	return &pace{limit: max(1, limit), turns: map[types.NamespacedName]struct{}{}}
}

// begin reports whether a delivery may be enqueued now. If not, done names it
// when its turn has come.
func (p *pace) begin(delivery types.NamespacedName) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, has := p.turns[delivery]; !has && len(p.turns) >= p.limit {
		p.waiting = append(p.waiting, delivery)
		return false
	}
	p.turns[delivery] = struct{}{}
	return true
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
	if len(p.waiting) == 0 {
		return next, false
	}
	next, p.waiting = p.waiting[0], p.waiting[1:]
	p.turns[next] = struct{}{}
	return next, true
}
