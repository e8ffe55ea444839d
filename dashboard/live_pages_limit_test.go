// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"fmt"
	"testing"
)

func TestLivePagesOfOneNamespaceLeaveRoomForOthers(t *testing.T) {
	s := newLivePages(100, 5)
	open := func(namespace string, many int) (opened int) {
		for i := range many {
			if s.acquire(fmt.Sprintf("%s:%d", namespace, i/5), namespace) {
				opened++
			}
		}
		return opened
	}
	if got := open("busy", 200); got != 50 {
		t.Errorf("a namespace has %d of 100 pages, want half", got)
	}
	if got := open("next", 200); got != 25 {
		t.Errorf("the next one has %d, want half of the rest", got)
	}
	if !s.acquire("newcomer", "newcomer") {
		t.Error("a newcomer has none")
	}
	s.release("newcomer", "newcomer")
	for i := range 50 {
		s.release(fmt.Sprintf("busy:%d", i/5), "busy")
	}
	if len(s.namespaces) != 1 || len(s.callers) != 5 || s.total != 25 {
		t.Errorf("kept of who is gone: %+v", s)
	}
}
