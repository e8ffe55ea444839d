// SPDX-License-Identifier: Apache-2.0

package endpoint

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var seeds = flag.Int("seeds", 40, "how many random histories to try")

// model is a Limiter with publishers that want attempts, endpoints that answer in any way, and what it may know of both.
type model struct {
	*Limiter

	t         *testing.T
	random    *rand.Rand
	now       time.Time
	badness   int // how many attempts of 100 end badly
	endpoints []*modelEndpoint
	slots     []*modelSlot
	waiters   []*modelWaiter
	granted   int
	refused   [Full + 1]int
	woken     int
}

type modelEndpoint struct {
	*Endpoint

	webhook                int // its place in model.endpoints
	namespace, destination string
	askedAt, askedUntil    time.Time // the longest pause that it asked for
}

type modelSlot struct {
	*Slot

	endpoint *modelEndpoint
}

type modelWaiter struct {
	*Waiter

	endpoint *modelEndpoint
}

func newModel(t *testing.T, seed uint64) *model {
	m := &model{
		t: t, random: rand.New(rand.NewPCG(seed, 3)), now: time.Unix(1e9, 0),
		Limiter: NewLimiter(Limits{Rules: Rules{PerWebhook: 5, Initial: 2, SlowAfter: time.Second, OpenIfSlow: true}, Slots: 16, PerDestination: 12}),
	}
	m.badness = []int{2, 10, 50}[m.random.IntN(3)]
	for i := range 12 {
		m.endpoints = append(m.endpoints, m.newEndpoint(i))
	}
	return m
}

func (m *model) newEndpoint(webhook int) *modelEndpoint {
	e := &modelEndpoint{
		Endpoint: &Endpoint{}, webhook: webhook, namespace: fmt.Sprint("ns", m.random.IntN(3)), destination: fmt.Sprint("host", m.random.IntN(4)),
	}
	m.Add(e.Endpoint, e.namespace, e.destination)
	return e
}

func (m *model) pass(d time.Duration) {
	m.now = m.now.Add(d)
	m.MarkSlow(m.now)
	m.wake()
}

// want is one publisher that wants an attempt.
func (m *model) want(e *modelEndpoint) {
	m.t.Helper()
	circuit, tripped, limit := e.CircuitState(m.now), e.IsTripped(), e.MaxUnderWay(&m.rules, m.now)
	granted, refusal := m.Acquire(e.Endpoint, m.now)
	m.refused[refusal]++
	if (granted == nil) == (refusal == Granted) {
		m.t.Errorf("slot %v, refusal %d", granted, refusal)
	}
	if (refusal == CircuitOpen) != (circuit == Open) {
		m.t.Errorf("the circuit is %s, refusal %d", circuit, refusal)
	}
	switch refusal {
	case Granted:
		m.granted++
		m.slots = append(m.slots, &modelSlot{granted, e})
		if e.UnderWay() > limit {
			m.t.Errorf("%d attempts are under way, of %d", e.UnderWay(), limit)
		}
		if tripped && e.UnderWay() != 1 {
			m.t.Errorf("the probe has %d attempts beside it", e.UnderWay()-1)
		}
		if end := minTime(e.askedUntil, e.askedAt.Add(time.Hour)); m.now.Before(end) {
			m.t.Errorf("an attempt %s before the end of the pause that was asked for", end.Sub(m.now))
		}
	case Full:
		if w := m.Enqueue(e.Endpoint, m.now); w != nil {
			m.waiters = append(m.waiters, &modelWaiter{w, e})
		}
	}
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// wake lets waiters try again that were woken.
func (m *model) wake() {
	m.t.Helper()
	for i := 0; i < len(m.waiters); {
		w := m.waiters[i]
		select {
		case <-w.Ready:
		default:
			i++
			continue
		}
		m.woken++
		m.waiters = slices.Delete(m.waiters, i, i+1)
		before := m.granted
		m.want(m.endpoints[w.endpoint.webhook])
		if m.granted == before {
			m.Dequeue(w.Waiter, m.now)
		}
		i = 0
	}
}

// end ends an attempt in any way.
func (m *model) end(i int) {
	ended := m.slots[i]
	m.slots = slices.Delete(m.slots, i, i+1)
	e := ended.endpoint
	took := m.now.Sub(ended.Start)
	result := Result{Succeeded: true, Answered: true}
	bad := -1
	if m.random.IntN(100) < m.badness {
		bad = m.random.IntN(7)
	}
	switch bad {
	case 0, 1:
		result = Result{Answered: true}
	case 2:
		result = Result{TimedOut: true}
	case 3:
		result = Result{}
	case 4:
		result = Result{Answered: true, RetryAfter: m.now.Add(time.Duration(m.random.IntN(100)) * time.Second)}
		if m.random.IntN(4) == 0 {
			result.RetryAfter = m.now.Add(100 * time.Hour)
		}
		if result.RetryAfter.After(e.askedUntil) {
			e.askedAt, e.askedUntil = m.now, result.RetryAfter
		}
	case 5:
		result = Result{Answered: true, Gone: true}
	case 6:
		m.Release(ended.Slot, m.now) // it was lost
		m.wake()
		return
	}
	m.ReleaseWithResult(ended.Slot, result, took, m.now)
	m.wake()
}

func (m *model) step() {
	i := m.random.IntN(len(m.endpoints))
	e := m.endpoints[i]
	switch n := m.random.IntN(100); {
	case n < 55:
		m.want(e)
	case n < 80:
		if len(m.slots) > 0 {
			m.end(m.random.IntN(len(m.slots)))
		}
	case n < 84:
		if len(m.waiters) > 0 { // one gives up
			i := m.random.IntN(len(m.waiters))
			w := m.waiters[i]
			m.waiters = slices.Delete(m.waiters, i, i+1)
			m.Dequeue(w.Waiter, m.now)
			m.wake()
		}
	case n < 86:
		if ended := e.EndedHold(m.now); !ended.IsZero() {
			if m.random.IntN(2) == 0 {
				e.Postpone(m.now)
			} else {
				e.DropHold(ended)
			}
		}
	case n < 87:
		e.AllowProbe()
	case n < 88: // another url
		m.Remove(e.Endpoint)
		m.endpoints[i] = m.newEndpoint(i)
	case m.random.IntN(20) > 0:
		m.pass(time.Duration(m.random.IntN(100)) * time.Millisecond)
	default:
		m.pass(time.Duration(m.random.IntN(20)) * time.Second)
	}
	m.check()
}

// check compares the books with what they are about.
func (m *model) check() {
	m.t.Helper()
	var used [States]int
	byNamespace, byDestination := map[string][States]int{}, map[string][States]int{}
	there := map[[2]string][States]int{} // by destination and namespace
	count := func(s State, used [States]int) [States]int {
		used[s]++
		return used
	}
	underWay := map[*Endpoint]int{}
	recent := 0
	for _, each := range m.slots {
		used[each.state]++
		namespace, address := each.endpoint.namespace, each.destination.address
		byNamespace[namespace] = count(each.state, byNamespace[namespace])
		byDestination[address] = count(each.state, byDestination[address])
		there[[2]string{address, namespace}] = count(each.state, there[[2]string{address, namespace}])
		underWay[each.Endpoint]++
		if !each.attempt.IsSlow {
			recent++
		}
	}
	recent -= m.recent.Len()
	if m.Limiter.slots.Used() != used || recent != 0 {
		m.t.Errorf("slots used %v; the books say %v, and %d more are recent", used, m.Limiter.slots.Used(), -recent)
	}
	for name, n := range m.namespaces {
		if n.used != byNamespace[name] {
			m.t.Errorf("%s: slots used %v; the books say %v", name, byNamespace[name], n.used)
		}
	}
	if len(m.namespaces) < len(byNamespace) || len(m.destinations) < len(byDestination) {
		m.t.Error("a namespace or a destination was dropped that has attempts under way")
	}
	for address, d := range m.destinations {
		if d.slots.Used() != byDestination[address] || d.slots.Taken() > 12 {
			m.t.Errorf("%s: slots used %v; the books say %v", address, byDestination[address], d.slots.Used())
		}
		for name, n := range d.byNamespace {
			if want := there[[2]string{address, name}]; n != want {
				m.t.Errorf("%s: slots used %v by %s; the books say %v", address, want, name, n)
			}
		}
	}
	for _, e := range m.endpoints {
		if e.UnderWay() != underWay[e.Endpoint] {
			m.t.Errorf("%d attempts are under way; the books say %d", underWay[e.Endpoint], e.UnderWay())
		}
	}
	m.checkWaiters()
}

// checkWaiters makes sure that nobody waits whom no end of an attempt would wake.
func (m *model) checkWaiters() {
	m.t.Helper()
	shared := 0
	for _, w := range m.waiters {
		own := w.queue == &w.endpoint.Endpoint.queue
		if own && w.endpoint.UnderWay() == 0 {
			m.t.Error("one waits for an attempt to end, and none is under way")
		}
		if !own {
			shared++
		}
	}
	if shared != m.queue.len() {
		m.t.Errorf("%d wait for a shared bound; the books say %d", shared, m.queue.len())
	}
	if shared > 0 && len(m.slots) == 0 {
		m.t.Errorf("%d wait for a shared bound, and nothing is under way", shared)
	}
}

// calmDown lets everything end well, and wants nothing left.
func (m *model) calmDown() {
	m.t.Helper()
	for len(m.slots) > 0 {
		ended := m.slots[0]
		m.slots = m.slots[1:]
		m.Release(ended.Slot, m.now)
		m.wake()
		m.check()
	}
	if len(m.waiters) > 0 {
		m.t.Errorf("%d still wait", len(m.waiters))
	}
	m.pass(2 * time.Hour)
	for _, e := range m.endpoints {
		e.DropHold(e.EndedHold(m.now))
		if e.CircuitState(m.now) == Open {
			m.t.Error("a circuit is open two hours after all that happened")
		}
		for range 3 {
			m.want(e)
			last := len(m.slots) - 1
			if last < 0 {
				m.t.Fatal("an endpoint gets no probe")
			}
			m.ReleaseWithResult(m.slots[last].Slot, Result{Succeeded: true, Answered: true}, time.Millisecond, m.now)
			m.slots = m.slots[:last]
		}
		if e.CircuitState(m.now) != Closed {
			m.t.Error("a success does not close the circuit")
		}
	}
	for _, e := range m.endpoints {
		m.Remove(e.Endpoint)
	}
	if destinations, namespaces := m.Size(); destinations+namespaces > 0 {
		m.t.Errorf("%d destinations and %d namespaces are left", destinations, namespaces)
	}
}

// TestRandomHistories does anything in any order and checks after every step that no slot is given twice or kept, that
// an open circuit lets nothing through and a half-open one a single probe, that a Retry-After is kept and never
// exceeded, and that nobody waits for nothing.
func TestRandomHistories(t *testing.T) {
	var total model
	for seed := range *seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			m := newModel(t, uint64(seed))
			for range 2000 {
				m.step()
				if t.Failed() {
					t.FailNow()
				}
			}
			m.calmDown()
			total.granted += m.granted
			total.woken += m.woken
			for i, n := range m.refused {
				total.refused[i] += n
			}
		})
	}
	t.Logf("%d attempts, %d refused by circuits, %d for want of a slot; %d waiters woken", total.granted, total.refused[CircuitOpen], total.refused[Full], total.woken)
	if total.refused[CircuitOpen] == 0 || total.refused[Full] == 0 || total.woken == 0 {
		t.Error("the test tests nothing")
	}
}
