// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"bbmcp.quietstack.com/webhooks/bench/internal/stats"
)

// Totals are what came to a class.
type Totals struct {
	// Posts counts every POST, whatever its answer.
	Posts int `json:"posts"`
	// Delivered counts unique events for each path that were answered with 2xx.
	Delivered int `json:"delivered"`
}

// control serves the control API:
//
//	GET  /ready              200
//	GET  /totals             Totals by class
//	GET  /counts?run=N       by path, how often each event of the run came
//	GET  /latencies          stats.Latency by class
//	POST /latencies/reset    forgets them
//	PUT  /classes/NAME       an Answer
func (s *Sink) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /totals", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.totals()) })
	mux.HandleFunc("GET /counts", func(w http.ResponseWriter, r *http.Request) {
		run, err := strconv.Atoi(r.URL.Query().Get("run"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer(w, s.counts(run))
	})
	mux.HandleFunc("GET /latencies", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.latencies(false)) })
	mux.HandleFunc("POST /latencies/reset", func(http.ResponseWriter, *http.Request) { s.latencies(true) })
	mux.HandleFunc("PUT /classes/{name}", func(w http.ResponseWriter, r *http.Request) {
		var a Answer
		if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.classLocked(r.PathValue("name")).answer.Store(&a)
	})
	return mux
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // a client that has gone hears nothing
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

// Client steers a Sink from another process.
type Client struct {
	// Base is the URL of the control API.
	Base string
}

// Ready fails while the Sink does not answer.
func (c Client) Ready(ctx context.Context) error { return c.get(ctx, "/ready", nil) }

// Totals returns what has come so far, by class.
func (c Client) Totals(ctx context.Context) (all map[string]Totals, err error) {
	return all, c.get(ctx, "/totals", &all)
}

// Counts returns, by path, how often each event of a run came.
func (c Client) Counts(ctx context.Context, run int) (all map[string][]byte, err error) {
	return all, c.get(ctx, fmt.Sprintf("/counts?run=%d", run), &all)
}

// Latencies returns, by class, the times since the last reset.
func (c Client) Latencies(ctx context.Context) (all map[string]stats.Latency, err error) {
	return all, c.get(ctx, "/latencies", &all)
}

// ResetLatencies forgets the times so far.
func (c Client) ResetLatencies(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/latencies/reset", nil, nil)
}

// Answer sets how a class answers from now on.
func (c Client) Answer(ctx context.Context, class string, a Answer) error {
	body, err := json.Marshal(a)
	if err != nil {
		return err
	}
	return c.call(ctx, http.MethodPut, "/classes/"+class, body, nil)
}

func (c Client) get(ctx context.Context, path string, into any) error {
	return c.call(ctx, http.MethodGet, path, nil, into)
}

func (c Client) call(ctx context.Context, method, path string, body []byte, into any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, c.Base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("receiver: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("receiver: %s %s: %s", method, path, response.Status)
	}
	if into == nil {
		return nil
	}
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		return fmt.Errorf("receiver: %s %s: %w", method, path, err)
	}
	return nil
}
