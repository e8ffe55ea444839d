// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"slices"
	"strings"
	"time"

	"bbmcp.quietstack.com/webhooks/bench/internal/report"
)

// unit is scenarios that run together, because they are compared.
type unit struct {
	names []string
	// timeout is how long they may take.
	timeout func(size) time.Duration
	run     func(context.Context, *round) error
}

// units are in the order in which they run.
func units() []unit {
	return []unit{
		{[]string{"ceiling", "durable"}, func(s size) time.Duration { return s.timeout(6 * time.Minute) }, runDurable},
		{[]string{"forwarder", "inline"}, func(s size) time.Duration { return s.timeout(5 * time.Minute) }, runInline},
		{[]string{"latency"}, func(s size) time.Duration { return s.timeout(4 * time.Minute) }, runLatency},
		{[]string{"isolation"}, func(s size) time.Duration { return s.timeout(6 * time.Minute) }, runIsolation},
		{[]string{"backlog"}, func(s size) time.Duration { return s.timeout(6 * time.Minute) }, runBacklog},
		{[]string{"outage"}, func(s size) time.Duration { return s.timeout(5 * time.Minute) }, runOutage},
		{[]string{"crash", "soak"}, func(s size) time.Duration { return s.timeout(14 * time.Minute) }, runSoakAndCrash},
	}
}

func unitScenarioNames() []string {
	var names []string
	for _, u := range units() {
		names = append(names, u.names...)
	}
	return names
}

// runUnit runs scenarios that belong together. One that fails or takes too long
// is reported as such and stops no other.
func (b *bench) runUnit(ctx context.Context, u unit, chosen []string) []*report.Scenario {
	started := time.Now()
	r := &round{b: b, chosen: chosen, scenarios: map[string]*report.Scenario{}}
	b.say("running %s", strings.Join(u.names, " and "))
	limited, cancel := context.WithTimeout(ctx, u.timeout(b.size))
	err := u.run(limited, r)
	cancel()
	var found []*report.Scenario
	for _, name := range u.names {
		s := r.scenarios[name]
		if s == nil {
			if err == nil || !slices.Contains(chosen, name) {
				continue
			}
			s = report.New(name)
		}
		if err != nil {
			s.Failure = err.Error()
		}
		if s.Seconds == 0 {
			s.Seconds = time.Since(started).Seconds()
		}
		found = append(found, s)
	}
	if err != nil {
		b.say("%s FAILED: %v", strings.Join(u.names, " and "), err)
	}
	return found
}
