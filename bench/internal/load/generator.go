// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"bbmcp.quietstack.com/webhooks/bench/internal/event"
	"bbmcp.quietstack.com/webhooks/bench/internal/sink"
	"bbmcp.quietstack.com/webhooks/bench/internal/stats"
	"bbmcp.quietstack.com/webhooks/bench/internal/tally"
)

// pollEvery is how often publishers that hold back look at what has arrived. A
// look costs as much as several events.
const pollEvery = 50 * time.Millisecond

// loadGenerator is one run.
type loadGenerator struct {
	spec      Spec
	client    *fasthttp.HostClient
	templates []*event.Template
	next      atomic.Int64 // number of the next event
	expected  atomic.Int64 // deliveries that were accepted

	mu     sync.Mutex
	gate   chan struct{} // closed when publishers no longer hold back; nil: they need not
	result Result
	micros []uint32
}

// Run publishes until the Spec or ctx says enough, and waits for the answers.
func Run(ctx context.Context, spec Spec) (*Result, error) {
	if err := spec.check(); err != nil {
		return nil, err
	}
	target, err := url.Parse(spec.URL)
	if err != nil {
		return nil, err
	}
	g := &loadGenerator{spec: spec, result: Result{Codes: map[int]int{}}}
	g.client = &fasthttp.HostClient{
		Addr: target.Host, MaxConns: spec.Publishers, MaxConnWaitTimeout: answerWithin,
		MaxIdemponentCallAttempts: 1, // a repeat that we do not see would look like a duplicate
		NoDefaultUserAgentHeader:  true,
	}
	for _, kind := range spec.Types {
		g.templates = append(g.templates, event.New(kind, spec.PayloadBytes))
	}
	started := time.Now()
	end, cancel := context.WithTimeout(ctx, spec.Duration)
	defer cancel()
	if spec.Outstanding > 0 {
		if err := g.watch(end); err != nil {
			return nil, err
		}
	}
	if spec.Rate > 0 {
		g.paced(end, started)
	} else {
		g.flatOut(end)
	}
	g.result.Seconds = time.Since(started).Seconds()
	g.result.Answer = stats.Summarize(g.micros)
	return &g.result, nil
}

// flatOut keeps every publisher busy.
func (g *loadGenerator) flatOut(ctx context.Context) {
	var publishers sync.WaitGroup
	for range g.spec.Publishers {
		publishers.Go(func() {
			p := g.newPublisher()
			defer p.done()
			for g.mayPublish(ctx) {
				n := int(g.next.Add(1) - 1)
				if g.spec.Count > 0 && n >= g.spec.Count {
					return
				}
				p.publish(ctx, n)
			}
		})
	}
	publishers.Wait()
}

// paced sends every event when it is due. Publishers that wait for an answer do
// not hold up the next event unless all of them do.
func (g *loadGenerator) paced(ctx context.Context, started time.Time) {
	var publishers sync.WaitGroup
	defer publishers.Wait()
	idle := make(chan *loadPublisher, g.spec.Publishers)
	made, late := 0, 0
	for n := 0; g.spec.Count == 0 || n < g.spec.Count; n++ {
		due := started.Add(time.Duration(float64(n) / g.spec.Rate * float64(time.Second)))
		if !pauseGenerator(ctx, time.Until(due)) {
			break
		}
		var p *loadPublisher
		select {
		case p = <-idle:
		default:
			if made < g.spec.Publishers {
				p = g.newPublisher()
				made++
			} else {
				p = <-idle
			}
		}
		if time.Since(due) > time.Second {
			late++
		}
		publishers.Go(func() {
			p.publish(ctx, n)
			idle <- p
		})
	}
	publishers.Wait()
	g.result.Late = late
	for range made {
		(<-idle).done()
	}
}

// watch closes and opens the gate before the publishers.
func (g *loadGenerator) watch(ctx context.Context) error {
	arrivals := sink.ControlClient{Base: g.spec.Sink}
	totals, err := arrivals.Totals(ctx)
	if err != nil {
		return err
	}
	before := totals[g.spec.Class].Delivered
	go func() {
		for pauseGenerator(ctx, pollEvery) {
			totals, err := arrivals.Totals(ctx)
			if err != nil {
				continue // the next look may see more
			}
			arrived := totals[g.spec.Class].Delivered - before
			g.hold(int(g.expected.Load())-arrived >= g.spec.Outstanding)
		}
		g.hold(false)
	}()
	return nil
}

// hold closes or opens the gate.
func (g *loadGenerator) hold(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case shut && g.gate == nil:
		g.gate = make(chan struct{})
	case !shut && g.gate != nil:
		close(g.gate)
		g.gate = nil
	}
}

// mayPublish waits before the gate; false: the run is over.
func (g *loadGenerator) mayPublish(ctx context.Context) bool {
	g.mu.Lock()
	gate := g.gate
	g.mu.Unlock()
	if gate != nil {
		select {
		case <-gate:
		case <-ctx.Done():
		}
	}
	return ctx.Err() == nil
}

// merge adds what one publisher knows.
func (g *loadGenerator) merge(p *loadPublisher) {
	g.mu.Lock()
	defer g.mu.Unlock()
	r := &g.result
	for _, one := range p.states {
		if one.number >= len(r.States) {
			r.States = slices.Grow(r.States, one.number+1-len(r.States))[:one.number+1]
		}
		r.States[one.number] = one.state
	}
	for code, n := range p.result.Codes {
		r.Codes[code] += n
	}
	r.Deliveries += p.result.Deliveries
	r.Skipped += p.result.Skipped
	r.Inline += p.result.Inline
	r.Repeats += p.result.Repeats
	r.NoRetryAfter += p.result.NoRetryAfter
	if r.Error == "" {
		r.Error = p.result.Error
	}
	g.micros = append(g.micros, p.micros...)
}

type numbered struct {
	number int
	state  tally.State
}

// pauseGenerator reports whether ctx still goes on after d.
func pauseGenerator(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}
