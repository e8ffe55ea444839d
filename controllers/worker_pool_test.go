// SPDX-License-Identifier: Apache-2.0

package controllers

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// poolFixture is a workerPool and the objects that it woke.
type poolFixture struct {
	*workerPool
	wokenMu sync.Mutex // timers wake too
	woken   []types.NamespacedName
}

func newPoolFixture(workers int) *poolFixture {
	s := &poolFixture{}
	s.workerPool = newWorkerPool(workers, time.Now, s.noteWoken)
	return s
}

func (s *poolFixture) noteWoken(object types.NamespacedName) {
	s.wokenMu.Lock()
	defer s.wokenMu.Unlock()
	s.woken = append(s.woken, object)
}

// takeWoken returns who was woken since the last call.
func (s *poolFixture) takeWoken() []types.NamespacedName {
	s.wokenMu.Lock()
	defer s.wokenMu.Unlock()
	woken := s.woken
	s.woken = nil
	return woken
}

func objectOf(namespace string, n int) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: fmt.Sprint(n)}
}

// take begins as many passes of a namespace as it may have.
func (s *poolFixture) take(namespace string) (n int) {
	for s.acquire(objectOf(namespace, n)) {
		n++
	}
	return n
}

func TestWorkerPoolLeavesWorkersToOtherNamespaces(t *testing.T) {
	s := newPoolFixture(16)
	same(t, []int{s.take("a"), s.take("b"), s.take("c"), s.take("d")}, []int{12, 2, 1, 1})
	s.release(objectOf("a", 0))
	same(t, len(s.takeWoken()), 0)
	same(t, s.take("newcomer"), 1)
	s.release(objectOf("a", 1))
	s.release(objectOf("a", 2))
	s.release(objectOf("a", 3))
	woken := s.takeWoken()
	same(t, slices.Contains(woken, objectOf("b", 2)), true)
	same(t, slices.Contains(woken, objectOf("a", 12)), false)
}

func TestWorkerPoolGivesAFailingNamespaceOneWorkerAfterARest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPoolFixture(16)
		for i, rest := range []int{50, 100, 200, 400, 800, 1600, 2000, 2000} {
			if !s.acquire(objectOf("a", 0)) {
				t.Fatalf("no place after %d failures", i)
			}
			s.noteFailure(objectOf("a", 0))
			same(t, s.acquire(objectOf("a", 1)), false)
			s.release(objectOf("a", 0))
			s.takeWoken()
			time.Sleep(time.Duration(rest)*time.Millisecond - time.Nanosecond)
			synctest.Wait()
			same(t, len(s.takeWoken()), 0)
			time.Sleep(time.Nanosecond)
			synctest.Wait()
			same(t, len(s.takeWoken()) > 0, true)
			same(t, s.take("b"), 12)
			for i := range 12 {
				s.release(objectOf("b", i))
			}
		}
		same(t, s.acquire(objectOf("a", 0)), true)
		same(t, s.acquire(objectOf("a", 1)), false)
		s.noteSuccess("a")
		same(t, s.acquire(objectOf("a", 1)), true)
		s.release(objectOf("a", 0))
		s.release(objectOf("a", 1))
	})
}

func TestWorkerPoolGivesFailingNamespacesAQuarter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPoolFixture(16)
		var doubted []string
		for i := range 10 {
			name := fmt.Sprint("bad", i)
			s.acquire(objectOf(name, 0))
			s.noteFailure(objectOf(name, 0))
			s.release(objectOf(name, 0))
			doubted = append(doubted, name)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		busy := 0
		for _, name := range doubted {
			if s.acquire(objectOf(name, 0)) {
				busy++
			}
		}
		same(t, busy, 4)
		same(t, s.take("well") >= 8, true)
	})
}

// Whatever waits is woken, whatever happens meanwhile.
func TestWorkerPoolLosesNoWaitingPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newPoolFixture(4)
		done := map[types.NamespacedName]int{}
		queue := []types.NamespacedName{}
		for n := range 5 {
			for i := range 40 {
				queue = append(queue, objectOf(fmt.Sprint("ns", n), i))
			}
		}
		all := len(queue)
		var under []types.NamespacedName
		for step := 0; len(done) < all; step++ {
			if step > 100_000 {
				t.Fatalf("%d of %d are done, %d wait", len(done), all, len(s.waiting))
			}
			queue = append(queue, s.takeWoken()...)
			if len(queue) > 0 {
				next := queue[0]
				queue = queue[1:]
				if s.acquire(next) {
					under = append(under, next)
				}
			}
			if len(under) == 4 || len(under) > 0 && len(queue) == 0 {
				ends := under[0]
				under = under[1:]
				switch {
				case ends.Namespace == "ns0" && step%3 > 0: // fails now and then
					s.noteFailure(ends)
				default:
					s.noteSuccess(ends.Namespace)
					done[ends]++
				}
				s.release(ends)
			}
			if len(queue) == 0 && len(under) == 0 {
				time.Sleep(namespaceRestMax)
				synctest.Wait()
			}
		}
		for _, rest := range under {
			s.release(rest)
		}
		for woken := s.takeWoken(); len(woken)+len(s.waiting) > 0; woken = s.takeWoken() { // who was woken twice finds nothing to do
			for _, each := range woken {
				if s.acquire(each) {
					s.release(each)
				}
			}
			time.Sleep(namespaceRestMax)
			synctest.Wait()
		}
		same(t, []int{len(s.namespaces), s.busy, s.busyUnproven}, []int{0, 0, 0})
	})
}
