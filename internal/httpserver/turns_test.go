// SPDX-License-Identifier: Apache-2.0

package httpserver

import (
	"context"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

func TestRequestsOfOneConnectionWorkInTurns(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	working, most := 0, 0
	server := New(Options{Connections: 4096, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		working++
		most = max(most, working)
		mu.Unlock()
		time.Sleep(time.Millisecond)
		mu.Lock()
		working--
		mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	})})
	server.turns.size = 8
	conn := some(t, 1)[0]
	var all sync.WaitGroup
	for range 200 {
		all.Go(func() {
			request := httptest.NewRequestWithContext(context.WithValue(t.Context(), connectionKey{}, conn), http.MethodGet, "/", nil)
			server.serve(httptest.NewRecorder(), request)
		})
	}
	all.Wait()
	// A machine that is busy lets some last longer than their turns, beside which others begin.
	if most > 5*8 {
		t.Errorf("%d requests worked at a time", most)
	}
	if left := server.turns.taken.Len() + len(server.turns.waiting); left > 0 {
		t.Errorf("%d turns are left", left)
	}
}

func TestTurns(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		test func(t *testing.T, turns *turns, start func(name string, others int) context.CancelFunc, began func() []string)
	}{
		{"the only request of a connection never waits", func(t *testing.T, _ *turns, start func(string, int) context.CancelFunc, began func() []string) {
			for range 5 {
				start("alone", 0)
			}
			want(t, began(), "alone", "alone", "alone", "alone", "alone")
		}},
		{"a turn ends after a while", func(t *testing.T, _ *turns, start func(string, int) context.CancelFunc, began func() []string) {
			for _, name := range []string{"a", "b", "c"} {
				start(name, 1)
			}
			want(t, began(), "a")
			time.Sleep(turnTime)
			want(t, began(), "a", "b")
			time.Sleep(turnTime)
			want(t, began(), "a", "b", "c")
		}},
		{"those of connections with the fewest go first", func(t *testing.T, turns *turns, start func(string, int) context.CancelFunc, began func() []string) {
			first := turns.take(1)
			start("of many", 50)
			start("of few", 2)
			start("of more", 3)
			first.end()
			want(t, began(), "of few")
			time.Sleep(turnTime)
			want(t, began(), "of few", "of more")
			time.Sleep(turnTime)
			want(t, began(), "of few", "of more", "of many")
		}},
		{"those of connections with many wait for a while", func(t *testing.T, _ *turns, start func(string, int) context.CancelFunc, began func() []string) {
			start("first", 1)
			start("of many", 20)
			for range 150 {
				start("of few", 1)
				time.Sleep(setBack)
			}
			if !slices.Contains(began(), "of many") {
				t.Error("it waits for ever")
			}
		}},
		{"none waits for what is over", func(t *testing.T, turns *turns, _ func(string, int) context.CancelFunc, _ func() []string) {
			turns.take(1)
			time.Sleep(turnTime)
			if turns.take(1).ready != nil {
				t.Error("it waits")
			}
		}},
		{"who gives up leaves the queue", func(t *testing.T, turns *turns, start func(string, int) context.CancelFunc, began func() []string) {
			start("a", 1)
			start("gone", 1)()
			synctest.Wait()
			if len(turns.waiting) > 0 {
				t.Error("it is still in the queue")
			}
			start("b", 1)
			time.Sleep(turnTime)
			want(t, began(), "a", "b")
		}},
		{"a turn ends once", func(t *testing.T, turns *turns, start func(string, int) context.CancelFunc, began func() []string) {
			own := turns.take(1)
			own.end()
			own.end()
			start("a", 1)
			own.end()
			start("b", 1)
			want(t, began(), "a")
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				turns := newTurns()
				turns.size = 1
				var mu sync.Mutex
				var names []string
				start := func(name string, others int) context.CancelFunc {
					ctx, cancel := context.WithCancel(t.Context())
					go func() {
						if _, ok := turns.begin(ctx, others); ok {
							mu.Lock()
							defer mu.Unlock()
							names = append(names, name)
						}
					}()
					synctest.Wait()
					return cancel
				}
				c.test(t, turns, start, func() []string {
					synctest.Wait()
					mu.Lock()
					defer mu.Unlock()
					return slices.Clone(names)
				})
				time.Sleep(time.Second) // the timer ends
			})
		})
	}
}

func want(t *testing.T, got []string, wanted ...string) {
	t.Helper()
	if !slices.Equal(got, wanted) {
		t.Errorf("%q have begun, want %q", got, wanted)
	}
}

func TestWhoGivesUpWaitingIsCounted(t *testing.T) {
	registry := prometheus.NewRegistry()
	server := New(Options{Listener: "api", Metrics: NewMetrics(registry), Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was served") })})
	server.turns.size = 1
	server.turns.take(1)
	conn := some(t, 1)[0]
	end, _, _ := server.load.begin(conn)
	defer end()
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), connectionKey{}, conn))
	cancel()
	server.serve(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodGet, "/", nil))
	if n := testutil.ToFloat64(server.metrics.givenUp.WithLabelValues("api")); n != 1 {
		t.Errorf("%v are counted", n)
	}
}
