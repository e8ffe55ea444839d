// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"bbmcp.quietstack.com/webhooks/bench/internal/event"
	"bbmcp.quietstack.com/webhooks/bench/internal/stats"
)

// maxBody is more than any payload.
const maxBody = 1 << 20

// Options say where a Sink listens.
type Options struct {
	// Hooks is the address of the endpoints, Control that of the control API.
	Hooks, Control string
	// Addresses is how many further endpoints there are at the same port of
	// 127.1.0.1, 127.1.0.2 and so on, at most 250.
	Addresses int
}

// Sink answers POSTs at /CLASS/NAME. What it answers depends on the class, what
// it counts is kept for each path.
type Sink struct {
	mu      sync.RWMutex
	lanes   map[string]*sinkLane
	classes map[string]*sinkClass
}

// sinkLane is what came to one path.
type sinkLane struct {
	class *sinkClass

	mu   sync.Mutex
	runs map[int][]byte // 2xx answered, by number of the event
}

// sinkClass is what paths with the same beginning share.
type sinkClass struct {
	answer    atomic.Pointer[Answer]
	delivered atomic.Int64 // unique and answered with 2xx, of all runs but 0
	posts     atomic.Int64

	mu     sync.Mutex
	micros []uint32 // from publisher's stamp to arrival
}

// Answer is how a class answers.
type Answer struct {
	Status int           `json:"status"`
	Delay  time.Duration `json:"delay"`
}

// New makes a Sink that answers 200 at once.
func New() *Sink {
	return &Sink{lanes: map[string]*sinkLane{}, classes: map[string]*sinkClass{}}
}

// Run serves until ctx ends.
func (s *Sink) Run(ctx context.Context, options Options) error {
	hosts := []string{options.Hooks}
	_, port, err := net.SplitHostPort(options.Hooks)
	if err != nil {
		return fmt.Errorf("address of the endpoints: %w", err)
	}
	for i := range options.Addresses {
		hosts = append(hosts, net.JoinHostPort(LoopbackAddress(i), port))
	}
	server := &fasthttp.Server{
		Handler: s.receive, NoDefaultServerHeader: true, NoDefaultDate: true, MaxRequestBodySize: maxBody,
		Logger: log.New(io.Discard, "", 0), // senders that hang up are a part of the plan
	}
	control := &http.Server{Addr: options.Control, Handler: s.control(), ReadHeaderTimeout: time.Minute}
	failed := make(chan error, len(hosts)+1)
	for _, host := range hosts {
		listener, err := net.Listen("tcp", host)
		if err != nil {
			return fmt.Errorf("listen: %w", err)
		}
		go func() { failed <- server.Serve(listener) }() // the process ends with it
	}
	go func() { failed <- control.ListenAndServe() }()
	defer func() { _ = control.Close() }() // nobody waits for an answer any more
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

// LoopbackAddress is the i-th of the further addresses, from 0.
func LoopbackAddress(i int) string { return fmt.Sprintf("127.1.0.%d", i+1) }

func (s *Sink) receive(ctx *fasthttp.RequestCtx) {
	now := time.Now()
	l := s.lane(ctx.Path())
	l.class.posts.Add(1)
	answer := l.class.answer.Load()
	if answer.Delay > 0 {
		time.Sleep(answer.Delay)
	}
	ctx.SetStatusCode(answer.Status)
	mark, err := event.FindMark(ctx.PostBody())
	if err != nil {
		ctx.SetStatusCode(http.StatusBadRequest)
		return
	}
	l.count(mark, now, answer.Status)
}

// lane finds or makes what belongs to a path.
func (s *Sink) lane(path []byte) *sinkLane {
	s.mu.RLock()
	l := s.lanes[string(path)]
	s.mu.RUnlock()
	if l != nil {
		return l
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.lanes[string(path)]; l != nil {
		return l
	}
	l = &sinkLane{class: s.classLocked(sinkClassOf(string(path))), runs: map[int][]byte{}}
	s.lanes[string(path)] = l
	return l
}

func (s *Sink) classLocked(name string) *sinkClass {
	c := s.classes[name]
	if c == nil {
		c = &sinkClass{}
		c.answer.Store(&Answer{Status: http.StatusOK})
		s.classes[name] = c
	}
	return c
}

func sinkClassOf(path string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return name
}

func (l *sinkLane) count(mark event.Mark, now time.Time, status int) {
	if status >= http.StatusMultipleChoices {
		return
	}
	l.mu.Lock()
	counts := l.runs[mark.Run]
	if mark.Number >= len(counts) {
		counts = append(counts, make([]byte, mark.Number+1-len(counts)+len(counts)/2)...)
		l.runs[mark.Run] = counts
	}
	first := counts[mark.Number] == 0
	if counts[mark.Number] < 255 {
		counts[mark.Number]++
	}
	l.mu.Unlock()
	if !first || mark.Run == 0 {
		return
	}
	l.class.delivered.Add(1)
	l.class.mu.Lock()
	l.class.micros = append(l.class.micros, stats.Micros(now.Sub(mark.Sent)))
	l.class.mu.Unlock()
}

// latencies summarises, by class, what came since the last call with reset.
func (s *Sink) latencies(reset bool) map[string]stats.Latency {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := map[string]stats.Latency{}
	for name, c := range s.classes {
		c.mu.Lock()
		micros := append([]uint32(nil), c.micros...)
		if reset {
			c.micros = c.micros[:0]
		}
		c.mu.Unlock()
		if !reset {
			all[name] = stats.Summarize(micros)
		}
	}
	return all
}

func (s *Sink) totals() map[string]Totals {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := map[string]Totals{}
	for name, c := range s.classes {
		all[name] = Totals{Posts: int(c.posts.Load()), Delivered: int(c.delivered.Load())}
	}
	return all
}

func (s *Sink) counts(run int) map[string][]byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	all := map[string][]byte{}
	for path, l := range s.lanes {
		l.mu.Lock()
		if counts := l.runs[run]; counts != nil {
			all[path] = bytes.Clone(counts)
		}
		l.mu.Unlock()
	}
	return all
}
