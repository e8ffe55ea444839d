// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"bbmcp.quietstack.com/webhooks/bench/internal/report"
	"bbmcp.quietstack.com/webhooks/bench/internal/tally"
)

// TestMain lets the test's program be the load, the receiver and the forwarder
// of the benchmark that it tests.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && slices.Contains([]string{roleLoad, roleReceiver, roleForwarder}, os.Args[1]) {
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		err := runBench(ctx, os.Args[1:])
		stop()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestForwarderAndCeilingInSmall(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a control plane")
	}
	found, err := runScenarios(t.Context(), "ceiling,forwarder", "tiny", "")
	if err != nil {
		t.Fatal(err)
	}
	var text bytes.Buffer
	found.Print(&text)
	t.Log("\n" + text.String())
	if len(found.Scenarios) != 2 {
		t.Fatalf("%d scenarios", len(found.Scenarios))
	}
	for _, s := range found.Scenarios {
		if s.Failure != "" {
			t.Errorf("%s: %s", s.Name, s.Failure)
		}
		for _, name := range []string{report.DeliveriesPerS, report.CPUPerDelivery} {
			if s.Figures[name] <= 0 {
				t.Errorf("%s: %s is %g", s.Name, name, s.Figures[name])
			}
		}
	}
	forwarder := found.Scenarios[1]
	for _, name := range []string{"fanout5_" + report.DeliveriesPerS, report.P50, "cpu_ms_load", "cpu_ms_receiver"} {
		if forwarder.Figures[name] <= 0 {
			t.Errorf("forwarder: %s is %g", name, forwarder.Figures[name])
		}
	}
	for _, name := range []string{report.Missing, report.Duplicates} {
		if got, ok := forwarder.Figures[name]; !ok || got != 0 {
			t.Errorf("forwarder: %s is %g", name, got)
		}
	}
}

func TestChooseKnowsTheScenarios(t *testing.T) {
	if all, err := chooseScenarios(""); err != nil || len(all) != 10 {
		t.Errorf("none named: %v, %v", all, err)
	}
	if some, err := chooseScenarios("inline, forwarder"); err != nil || !slices.Equal(some, []string{"inline", "forwarder"}) {
		t.Errorf("two named: %v, %v", some, err)
	}
	if _, err := chooseScenarios("inline,nonsense"); err == nil {
		t.Error("nonsense was taken")
	}
}

func TestAFailingScenarioIsReportedAndStopsNoOther(t *testing.T) {
	b := &bench{size: sizes()["tiny"]}
	u := unit{names: []string{"ceiling", "durable"}, timeout: units()[0].timeout, run: func(_ context.Context, r *round) error {
		r.scenario("ceiling").Set(report.DeliveriesPerS, 1)
		return fmt.Errorf("no luck")
	}}
	found := b.runUnit(t.Context(), u, []string{"ceiling", "durable"})
	if len(found) != 2 {
		t.Fatalf("%d scenarios", len(found))
	}
	for _, s := range found {
		if s.Failure != "no luck" || s.Reached() {
			t.Errorf("%s: failure %q", s.Name, s.Failure)
		}
	}
	if found[0].Figures[report.DeliveriesPerS] != 1 {
		t.Error("what had been found is lost")
	}
}

func TestRecordTakesMediansAndAddsUpWhatMustNotHappen(t *testing.T) {
	s := report.New("x")
	recordFigures(s, []figures{{"p50_ms": 3, report.Missing: 1}, {"p50_ms": 1, report.Missing: 0}, {"p50_ms": 2, report.Missing: 2}})
	want := map[string]float64{"p50_ms": 2, report.Missing: 3}
	if diff := cmp.Diff(want, s.Figures); diff != "" {
		t.Error(diff)
	}
}

func TestLaneAddsUpItsPaths(t *testing.T) {
	counts := map[string][]byte{"/a": {1, 0, 1}, "/b": {0, 1}}
	if got, want := (lane{"/a", "/b"}).received(counts), []byte{1, 1, 1}; !bytes.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	states := []tally.State{tally.Accepted, tally.Accepted, tally.Accepted}
	if got := tally.Compare(states, lane{"/b"}.received(counts)); got.Missing != 2 {
		t.Errorf("got %+v", got)
	}
}

func TestGrowthIsJudgedBySettledValues(t *testing.T) {
	s := report.New("soak")
	judgeSoakGrowth(s, map[string][]float64{
		"gateway_rss_mib":    {20, 50, 60, 60, 60, 60, 60, 61},
		"gateway_goroutines": {100, 200, 300, 400, 500, 600, 700, 800},
	})
	if len(s.Must) != 2 || !s.Must[0].Reached || s.Must[1].Reached {
		t.Errorf("verdicts %+v", s.Must)
	}
}
