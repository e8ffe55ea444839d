// SPDX-License-Identifier: Apache-2.0

package sink_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/bench/internal/load"
	"bbmcp.quietstack.com/webhooks/bench/internal/sink"
	"bbmcp.quietstack.com/webhooks/bench/internal/tally"
)

// start runs a sink on free ports until the test ends.
func start(t *testing.T) (hooks string, client sink.ControlClient) {
	t.Helper()
	free := func() string {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer listener.Close()
		return listener.Addr().String()
	}
	options := sink.Options{Hooks: free(), Control: free(), Addresses: 1}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- sink.New().Run(ctx, options) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	client = sink.ControlClient{Base: "http://" + options.Control}
	deadline := time.Now().Add(5 * time.Second)
	for client.Ready(t.Context()) != nil {
		if time.Now().After(deadline) {
			t.Fatal("the sink does not come up")
		}
	}
	return "http://" + options.Hooks, client
}

// The sink answers 200 where a gateway answers 202, so that to the load nothing
// seems accepted; what it sent arrives all the same.
func TestSinkCountsAndTimesWhatTheLoadSends(t *testing.T) {
	hooks, client := start(t)
	spec := load.Spec{
		URL: hooks + "/ok/a", Types: []string{"context.created"}, PayloadBytes: 1 << 10, Run: 3, Publishers: 4, Count: 500, Duration: time.Minute,
	}
	for range 2 {
		result, err := load.Run(t.Context(), spec)
		if err != nil {
			t.Fatal(err)
		}
		if result.Codes[http.StatusOK] != 500 || result.Sent() != 500 {
			t.Fatalf("%d sent, answers %v, %s", result.Sent(), result.Codes, result.Error)
		}
	}
	counts, err := client.Counts(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	states := make([]tally.State, 501)
	for i := range states {
		states[i] = tally.Accepted
	}
	if got, want := tally.Compare(states, counts["/ok/a"]), (tally.Outcome{Accepted: 501, Unique: 500, Missing: 1, Duplicates: 500}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	totals, err := client.Totals(t.Context())
	if err != nil || totals["ok"] != (sink.Totals{Posts: 1000, Delivered: 500}) {
		t.Errorf("totals %+v, %v", totals, err)
	}
	latencies, err := client.Latencies(t.Context())
	if err != nil || latencies["ok"].Count != 500 || latencies["ok"].P50 <= 0 || latencies["ok"].P50 > 1000 {
		t.Errorf("latencies %+v, %v", latencies, err)
	}
	if err := client.ResetLatencies(t.Context()); err != nil {
		t.Fatal(err)
	}
	if latencies, err := client.Latencies(t.Context()); err != nil || latencies["ok"].Count != 0 {
		t.Errorf("after a reset: %+v, %v", latencies, err)
	}
}

func TestSinkAnswersAsItsClassIsTold(t *testing.T) {
	hooks, client := start(t)
	send := func(class string) map[int]int {
		t.Helper()
		result, err := load.Run(t.Context(), load.Spec{
			URL: hooks + "/" + class + "/a", Types: []string{"x"}, Run: 1, Publishers: 1, Count: 1, Duration: 10 * time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		return result.Codes
	}
	if err := client.Answer(t.Context(), "down", sink.Answer{Status: http.StatusInternalServerError}); err != nil {
		t.Fatal(err)
	}
	if codes := send("down"); codes[http.StatusInternalServerError] != 1 {
		t.Errorf("the class that is down answered %v", codes)
	}
	if codes := send("up"); codes[http.StatusOK] != 1 {
		t.Errorf("another class answered %v", codes)
	}
	if err := client.Answer(t.Context(), "down", sink.Answer{Status: http.StatusOK}); err != nil {
		t.Fatal(err)
	}
	if codes := send("down"); codes[http.StatusOK] != 1 {
		t.Errorf("the class that is up again answered %v", codes)
	}
	totals, err := client.Totals(t.Context())
	if err != nil || totals["down"] != (sink.Totals{Posts: 2, Delivered: 1}) {
		t.Errorf("totals %+v, %v", totals, err)
	}
}

func TestPacedLoadSendsWhenDue(t *testing.T) {
	hooks, _ := start(t)
	result, err := load.Run(t.Context(), load.Spec{
		URL: hooks + "/ok/a", Types: []string{"x"}, Run: 1, Publishers: 8, Rate: 100, Count: 50, Duration: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	if result.Sent() != 50 || result.Seconds < 0.49 {
		t.Errorf("%d events in %g s, want 50 in half a second", result.Sent(), result.Seconds)
	}
}

func TestLoadRefusesWhatCannotRun(t *testing.T) {
	for name, spec := range map[string]load.Spec{
		"no types":             {Publishers: 1, Duration: 1},
		"no publishers":        {Types: []string{"x"}, Duration: 1},
		"a run out of range":   {Types: []string{"x"}, Publishers: 1, Duration: 1, Run: 10000},
		"repeats without keys": {Types: []string{"x"}, Publishers: 1, Duration: 1, RepeatFor: 1},
		"no end":               {Types: []string{"x"}, Publishers: 1},
	} {
		if _, err := load.Run(t.Context(), spec); err == nil || errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
