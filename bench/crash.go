// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"

	"bbmcp.quietstack.com/webhooks/bench/internal/load"
	"bbmcp.quietstack.com/webhooks/bench/internal/report"
	"bbmcp.quietstack.com/webhooks/bench/internal/tally"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

const (
	// crashUnsettled is small, so that a bound on duplicates means something.
	crashUnsettled = 32
	// crashPublishers publish each way, crashRate events a second each.
	crashPublishers = 8
	crashRate       = 60
	// crashRepeat is how long a publisher tries: longer than anything is away.
	crashRepeat = 90 * time.Second
	// crashSettle is how long deliveries may take that were under way.
	crashSettle = 90 * time.Second
)

// kills counts what was killed.
type kills struct{ gateways, gatewayDispatchers, managers, managerDispatchers int }

// crash kills processes at random under load, then stops the API server.
func (r *round) crash(ctx context.Context) (err error) {
	b, s := r.b, r.scenario("crash")
	started := time.Now()
	defer func() { s.Seconds = time.Since(started).Seconds() }()
	w, err := b.newDeployment(ctx, deploymentOptions{manager: stack.ManagerOptions{Args: []string{
		"--unsettled=" + strconv.Itoa(crashUnsettled),
		"--lease-duration=6s", "--renew-deadline=4s", "--retry-period=1s", // the next one leads before it is killed as well
	}}})
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, w.close()) }()
	if err := w.declare(ctx, webhookSpec{name: "one", class: healthyClass, types: []string{eventType}}); err != nil {
		return err
	}
	if err := w.awaitKnownWebhooks(ctx, namespace, eventType, 1); err != nil {
		return err
	}
	var running []*loadProcess
	var runs []int
	for _, prefer := range []string{"", respondAsync} {
		spec := w.spec(eventType)
		spec.Prefer, spec.Publishers, spec.Rate = prefer, crashPublishers, crashRate
		spec.Keys, spec.RepeatFor, spec.Duration = true, crashRepeat, b.size.crash
		p, err := b.startLoad(ctx, spec)
		if err != nil {
			return err
		}
		running, runs = append(running, p), append(runs, spec.Run)
	}
	killed, err := w.killAtRandom(ctx, b.size.crash)
	if err != nil {
		return err
	}
	results := make([]*load.Result, 0, len(running))
	for _, p := range running {
		result, err := p.wait()
		if err != nil {
			return err
		}
		results = append(results, result)
	}
	if err := w.judgeCrash(ctx, s, killed, runs, results); err != nil {
		return err
	}
	return w.crashWithoutAPIServer(ctx, s)
}

// killAtRandom kills processes, one every few seconds, and starts them again as
// kubelet does.
func (w *deployment) killAtRandom(ctx context.Context, d time.Duration) (k kills, err error) {
	random := rand.New(rand.NewPCG(1, uint64(w.b.began.UnixNano()))) //nolint:gosec // no secret
	w.b.say("killing processes at random for %s", d)
	for end := time.Now().Add(d); time.Now().Before(end); {
		if err := pause(ctx, time.Second+time.Duration(random.Int64N(int64(3*time.Second)))); err != nil {
			return k, err
		}
		switch random.IntN(4) {
		case 0:
			k.gateways++
			w.gateway.Process.Stop(0)
			err = w.gateway.Restart(ctx)
		case 1:
			k.managers++
			w.manager.Process.Stop(0)
			err = w.manager.Restart(ctx)
		case 2:
			k.gatewayDispatchers++
			w.gateway.Dispatcher().Stop(0) // its supervisor starts the next one
		default:
			k.managerDispatchers++
			w.manager.Dispatcher().Stop(0)
		}
		if err != nil {
			return k, fmt.Errorf("start a process again: %w", err)
		}
	}
	return k, nil
}

// judgeCrash counts what arrived once nothing is left to come.
func (w *deployment) judgeCrash(ctx context.Context, s *report.Scenario, k kills, runs []int, results []*load.Result) error {
	var outcome tally.Outcome
	deadline := time.Now().Add(crashSettle)
	for {
		outcome = tally.Outcome{}
		for i, run := range runs {
			counts, err := w.sink.Counts(ctx, run)
			if err != nil {
				return err
			}
			outcome = outcome.Add(tally.Compare(results[i].States, counts["/"+healthyClass+"/one"]))
		}
		if outcome.Missing == 0 || time.Now().After(deadline) {
			break
		}
		if err := pause(ctx, time.Second); err != nil {
			return err
		}
	}
	repeats, never := 0, 0
	for _, result := range results {
		repeats += result.Repeats
		never += result.Sent() - result.Accepted()
	}
	// What the gateway has sent and not yet answered for is as unsettled as what
	// the manager has: at most one for each publisher.
	unsettled := (k.managers+k.managerDispatchers)*crashUnsettled + (k.gateways+k.gatewayDispatchers)*2*crashPublishers
	s.Set(report.Missing, float64(outcome.Missing))
	s.Set(report.Duplicates, float64(outcome.Duplicates))
	s.Set("accepted", float64(outcome.Accepted))
	s.Set("repeated_by_publishers", float64(repeats))
	s.Set("kills_of_gateway", float64(k.gateways))
	s.Set("kills_of_gateway_dispatcher", float64(k.gatewayDispatchers))
	s.Set("kills_of_manager", float64(k.managers))
	s.Set("kills_of_manager_dispatcher", float64(k.managerDispatchers))
	s.AtMost("accepted events that did not arrive", float64(outcome.Missing), 0)
	s.AtMost("duplicates, with what was unsettled at the kills and repeated by publishers", float64(outcome.Duplicates), float64(unsettled+repeats))
	s.AtMost("events that were never accepted", float64(never), 0)
	return nil
}

// crashWithoutAPIServer stops the API server for a while and publishes both ways. The
// rights of the publisher are checked just before, as those of every publisher
// that has published within the last minute are.
func (w *deployment) crashWithoutAPIServer(ctx context.Context, s *report.Scenario) error {
	if err := poll(ctx, "the gateway to accept both ways", func() (bool, error) {
		for _, prefer := range []string{"", respondAsync} {
			if status, err := w.postEvent(ctx, w.tokens[namespace], prefer); err != nil || status != http.StatusAccepted {
				return false, nil //nolint:nilerr // it is just starting
			}
		}
		return true, nil
	}); err != nil {
		return err
	}
	token, err := w.stack.Token(ctx, namespace, "publisher-without-api", []string{"bbmcp-publisher"})
	if err != nil {
		return err
	}
	if err := poll(ctx, "a new publisher to be accepted", func() (bool, error) {
		status, err := w.postEvent(ctx, token, respondAsync)
		return status == http.StatusAccepted, err
	}); err != nil {
		return err
	}
	w.b.say("stopping the API server for %s", w.b.size.away)
	if err := w.stack.ControlPlane.KillAPIServer(); err != nil {
		return err
	}
	results := map[string]*load.Result{}
	var runs []int
	var running []*loadProcess
	for _, prefer := range []string{"", respondAsync} {
		spec := w.spec(eventType)
		spec.Token, spec.Prefer, spec.Publishers, spec.Rate, spec.Duration = token, prefer, crashPublishers, crashRate/3, w.b.size.away
		p, err := w.b.startLoad(ctx, spec)
		if err != nil {
			return err
		}
		running, runs = append(running, p), append(runs, spec.Run)
	}
	for i, prefer := range []string{"", respondAsync} {
		if results[prefer], err = running[i].wait(); err != nil {
			return err
		}
	}
	if err := w.stack.ControlPlane.StartAPIServer(ctx); err != nil {
		return err
	}
	inline, async := results[""], results[respondAsync]
	outcome, err := settleLanes(ctx, w.sink.ControlClient, runs[0], inline.States, lane{"/" + healthyClass + "/one"})
	if err != nil {
		return err
	}
	s.Set("without_api_accepted_share", float64(inline.Accepted())/float64(max(1, inline.Sent())))
	s.Set("without_api_missing", float64(outcome.Missing))
	s.AtLeast("publishes to a healthy endpoint that are accepted without the API server, as a share", s.Figures["without_api_accepted_share"], 0.99)
	s.AtMost("of those, missing", float64(outcome.Missing), 0)
	s.AtLeast("answers 503 to what needs an object, as a share", float64(async.Codes[http.StatusServiceUnavailable])/float64(max(1, async.Sent())), 1)
	s.AtMost("answers 503 without Retry-After", float64(async.NoRetryAfter+inline.NoRetryAfter), 0)
	return nil
}
