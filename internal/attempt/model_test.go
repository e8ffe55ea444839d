// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/dispatcher"
)

var seeds = flag.Int("seeds", 6, "how many random histories to try")

// TestRandomHistories does anything in any order and compares the runner's books
// with what they are about after every step. At the end all goes well again, and
// then nothing may be left: each job got exactly one outcome, was withdrawn or
// was forgotten.
func TestRandomHistories(t *testing.T) {
	for seed := range *seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			var open atomic.Bool
			open.Store(true)
			options := Options{Unsettled: 24, PerWebhook: 5, PerDestination: 7, Gate: open.Load}
			withRunner(t, options, func(f *runnerFixture) {
				m := &model{runnerFixture: f, open: &open, rand: rand.New(rand.NewPCG(uint64(seed), 7)), known: map[types.UID]int{}, want: map[types.UID]int{}, gone: map[types.UID]bool{}, got: map[string]bool{}}
				m.otherwise = m.anything
				m.prepare = m.prepares
				m.latency = 5 * ms
				for range 4000 {
					m.step()
				}
				m.calmDown()
			})
		})
	}
}

type model struct {
	*runnerFixture
	open *atomic.Bool
	rand *rand.Rand
	uids []types.UID
	// known is how many attempts other processes have made.
	known map[types.UID]int
	want  map[types.UID]int  // number of the attempt whose outcome must come
	gone  map[types.UID]bool // deleted
	fine  atomic.Bool        // everything goes well
	alone atomic.Bool        // there is no dispatcher

	resultMu sync.Mutex
	got      map[string]bool // attempts that had a result
}

const (
	modelNamespaces = 4
	modelWebhooks   = 6
)

func (m *model) webhook() string {
	return fmt.Sprintf("ns%d/hook%d", m.rand.IntN(modelNamespaces), m.rand.IntN(modelWebhooks))
}

func (m *model) key() types.NamespacedName {
	part := strings.SplitN(m.webhook(), "/", 2)
	return types.NamespacedName{Namespace: part[0], Name: part[1]}
}

// some returns a delivery that was submitted at some time.
func (m *model) some() types.UID {
	if len(m.uids) == 0 {
		return ""
	}
	return m.uids[len(m.uids)-1-m.rand.IntN(min(len(m.uids), 60))]
}

// anything answers by the hook's habit: even hooks do well, odd ones badly.
func (m *model) anything(ctx context.Context, request dispatcher.Request) (dispatcher.Result, error) {
	if m.fine.Load() {
		return status(200, 20*ms)(ctx, request)
	}
	if m.alone.Load() {
		return breaks(dispatcher.ErrUnavailable, 0)(ctx, request)
	}
	if rand.IntN(200) == 0 {
		return breaks(dispatcher.ErrLost, 30*ms)(ctx, request)
	}
	habit := []answer{
		status(200, 20*ms), hangs(), status(200, 50*ms), status(500, 10*ms), status(200, 1500*ms),
		fails(dispatcher.ReasonConnectionRefused, ms),
	}
	if rand.IntN(50) == 0 {
		return m.ends(request, throttles(429, time.Duration(rand.IntN(3000))*ms, 10*ms))
	}
	which := int(request.URL[len(request.URL)-1] - '0')
	if rand.IntN(10) == 0 {
		which = rand.IntN(len(habit))
	}
	return m.ends(request, habit[which%len(habit)])
}

// ends answers, for the first time to this attempt.
func (m *model) ends(request dispatcher.Request, respond answer) (dispatcher.Result, error) {
	result, err := respond(context.Background(), request)
	attempt := fmt.Sprint(request.DeliveryID, " ", request.Attempt)
	m.resultMu.Lock()
	defer m.resultMu.Unlock()
	if m.got[attempt] {
		m.t.Errorf("%s had a result before", attempt)
	}
	m.got[attempt] = true
	return result, err
}

func (m *model) prepares(ctx context.Context, _ types.UID) error {
	if m.fine.Load() {
		return nil
	}
	if rand.IntN(5) == 0 {
		time.Sleep(time.Duration(rand.IntN(200)) * ms)
	}
	if rand.IntN(30) == 0 {
		return context.Canceled
	}
	return nil
}

// submitNext submits the next attempt of a delivery, as the controller would.
func (m *model) submitNext(uid types.UID) {
	if m.gone[uid] {
		return
	}
	if outcome := m.outcome(string(uid)); outcome.Number > 0 {
		m.known[uid] = max(m.known[uid], outcome.attempts())
	}
	job := m.job(string(uid), max(m.State(uid).Attempts, m.known[uid])+1)
	if m.rand.IntN(100) == 0 {
		job.Destination = fmt.Sprintf("moved%d.example.com:443", m.rand.IntN(3))
	} else if m.rand.IntN(3) > 0 {
		job.Destination = fmt.Sprintf("shared%c.example.com:443", job.Webhook[len(job.Webhook)-1]%3+'0')
	}
	if m.Submit(job) {
		m.want[uid] = job.Number
		m.known[uid] = job.Number - 1
	}
}

// remove deletes a delivery.
func (m *model) remove(how func(types.UID)) {
	uid := m.some()
	how(uid)
	delete(m.want, uid)
	m.gone[uid] = true
}

// elsewhere is what happens when another process writes a status.
func (m *model) elsewhere(uid types.UID, attempts int) {
	if m.rand.IntN(2) == 0 {
		m.Acknowledge(uid, Ack{Attempts: attempts})
	}
	m.Acknowledge(uid, Ack{Attempts: attempts, Cached: true})
	m.known[uid] = max(m.known[uid], attempts)
	if attempts >= m.want[uid] {
		delete(m.want, uid)
	}
}

func (m *model) step() {
	m.t.Helper()
	switch n := m.rand.IntN(100); {
	case n < 40:
		for range m.rand.IntN(4) {
			uid := types.UID(fmt.Sprintf("%s/%d", m.webhook(), len(m.uids)))
			m.uids = append(m.uids, uid)
			m.submitNext(uid)
		}
	case n < 46:
		if uid := m.some(); uid != "" {
			m.submitNext(uid)
		}
	case n < 49:
		if uid := m.some(); m.Cancel(uid) {
			delete(m.want, uid)
		}
	case n < 52:
		m.remove(func(uid types.UID) { m.Acknowledge(uid, Ack{Gone: true}) })
	case n < 54:
		m.Hold(m.key(), time.Now().Add(time.Duration(m.rand.IntN(5000))*ms))
	case n < 55:
		if m.rand.IntN(3) == 0 {
			m.Reset(m.key(), WebhookChange{Destination: fmt.Sprintf("moved%d.example.com:443", m.rand.IntN(3))})
		}
		m.Reset(m.key(), WebhookChange{})
	case n < 56:
		m.Reset(m.key(), WebhookChange{Gone: true})
	case n < 58:
		m.PlatformHealth(m.key().Namespace, WriteUnanswered)
	case n < 59:
		m.PlatformHealth(m.key().Namespace, WriteTaken)
	case n < 60:
		m.PlatformHealth("", WriteUnreachable)
		if m.rand.IntN(2) == 0 {
			m.PlatformHealth("", WriteConflicted)
		}
	case n < 61:
		m.open.Store(m.rand.IntN(3) > 0)
	case n < 62:
		m.alone.Store(m.rand.IntN(3) == 0)
	case n < 63:
		uid := m.some()
		m.elsewhere(uid, m.known[uid]+m.rand.IntN(3))
	case n < 64:
		m.remove(func(uid types.UID) { m.Acknowledge(uid, Ack{Dropped: true}); m.Cancel(uid) })
	case n < 66:
		m.Stats()
	case n < 67:
		time.Sleep(time.Duration(m.rand.IntN(5000)) * ms)
	default:
		time.Sleep(time.Duration(m.rand.IntN(100)) * ms)
	}
	if m.rand.IntN(4) == 0 {
		m.settleDown()
	} else {
		m.check() // whatever is going on
	}
}

// calmDown lets everything go well and wants the runner empty soon.
func (m *model) calmDown() {
	m.t.Helper()
	m.fine.Store(true)
	m.alone.Store(false)
	m.open.Store(true)
	for n := range modelNamespaces {
		m.PlatformHealth(fmt.Sprint("ns", n), WriteTaken)
	}
	m.wait(time.Minute)
	stats := m.Stats()
	if stats.Queued+stats.UnderWay+stats.Unwritten+stats.Lost+stats.Held > 0 {
		m.t.Errorf("left over: %+v", stats)
	}
	for uid, number := range m.want {
		if got := m.outcome(string(uid)).Number; got != number {
			m.t.Errorf("%s: got the outcome of attempt %d, want that of %d", uid, got, number)
		}
	}
	m.t.Logf("%d deliveries, %d attempts sent, %d outcomes checked", len(m.uids), m.total(), len(m.want))
	if m.most > 24 {
		m.t.Errorf("%d attempts were under way at a time", m.most)
	}
	for hook, peak := range m.peak {
		if peak > 5 {
			m.t.Errorf("%d attempts of %s were under way at a time", peak, hook)
		}
	}
	for n := range modelNamespaces {
		for h := range modelWebhooks {
			m.Reset(types.NamespacedName{Namespace: fmt.Sprint("ns", n), Name: fmt.Sprint("hook", h)}, WebhookChange{Gone: true})
		}
	}
	expect(m.t, "webhooks left", len(m.scheduler.webhooks), 0)
	expect(m.t, "namespaces left", len(m.scheduler.namespaces), 0)
	expect(m.t, "destinations left", len(m.scheduler.destinations), 0)
}
