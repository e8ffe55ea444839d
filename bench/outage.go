// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"net/http"
	"sync"
	"time"

	"bbmcp.quietstack.com/webhooks/bench/internal/event"
	"bbmcp.quietstack.com/webhooks/bench/internal/load"
	"bbmcp.quietstack.com/webhooks/bench/internal/report"
	"bbmcp.quietstack.com/webhooks/bench/internal/sink"
	"bbmcp.quietstack.com/webhooks/bench/internal/stats"
	"bbmcp.quietstack.com/webhooks/bench/internal/tally"
)

const (
	// brokenClass and brokenType are of the webhook whose endpoint breaks, and
	// brokenRate is its events a second.
	brokenClass, brokenType = "broken", "bench.broken"
	brokenRate              = 500
	// outagePublishers are more than can wait for an answer at a time: the
	// unfinished deliveries that a webhook may have, and some.
	outagePublishers = webhookLimit + 500
	// otherNamespace holds a healthy webhook; the usual one another, beside
	// the broken one. Each gets healthyRate events a second.
	otherNamespace = "bench-other"
	neighbourClass = "neighbour"
	healthyRate    = 100
	// afterwards is how long everything goes on after the recovery.
	afterwards = 10 * time.Second
	// webhookLimit and keptLimit are the product's defaults: unfinished and
	// finished deliveries of a webhook.
	webhookLimit, keptLimit = 2_000, 1_000
)

// runOutage breaks one endpoint for a while under load, beside healthy webhooks
// in its namespace and in another.
func runOutage(ctx context.Context, r *round) (err error) {
	b, s := r.b, r.scenario("outage")
	w, err := b.newDeployment(ctx, deploymentOptions{})
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, w.close()) }()
	if err := w.declareOutage(ctx); err != nil {
		return err
	}
	loads, err := w.startOutageLoads(ctx)
	if err != nil {
		return err
	}
	defer loads.abandon()
	before, err := w.outagePhase(ctx, "before", b.size.warmup, b.size.outageBefore, sink.Answer{Status: http.StatusOK})
	if err != nil {
		return err
	}
	watch := w.watchOutageStore(ctx)
	b.say("the endpoint breaks")
	during, err := w.outagePhase(ctx, "during", 0, b.size.outage, sink.Answer{Status: http.StatusInternalServerError})
	if err != nil {
		return err
	}
	b.say("the endpoint recovers")
	if _, err = w.outagePhase(ctx, "afterwards", 0, afterwards, sink.Answer{Status: http.StatusOK}); err != nil {
		return err
	}
	results, err := loads.stop()
	if err != nil {
		return err
	}
	most, err := watch()
	if err != nil {
		return err
	}
	for i, place := range []string{"same_namespace_", "other_namespace_"} {
		class := []string{healthyClass, neighbourClass}[i]
		s.Set(place+"p99_before_ms", before[class].P99)
		s.Set(place+"p99_during_ms", during[class].P99)
		s.AtMost(place+"healthy p99 while the endpoint is broken, times that before", during[class].P99/before[class].P99, 1.5)
	}
	s.Set(report.P50, during[healthyClass].P50)
	s.Set(report.P99, during[healthyClass].P99)
	return w.judgeOutage(ctx, s, loads.specs, results, most)
}

// declareOutage makes the broken webhook and its healthy neighbours.
func (w *deployment) declareOutage(ctx context.Context) error {
	if err := w.declareTypes(ctx, brokenType); err != nil {
		return err
	}
	err := w.declare(ctx,
		webhookSpec{name: "broken", class: brokenClass, types: []string{brokenType}},
		webhookSpec{name: "healthy", class: healthyClass, types: []string{eventType}},
		webhookSpec{namespace: otherNamespace, name: "neighbour", class: neighbourClass, types: []string{eventType}},
	)
	if err != nil {
		return err
	}
	for kind, space := range map[string]string{brokenType: namespace, eventType: otherNamespace} {
		if err := w.awaitKnownWebhooks(ctx, space, kind, 1); err != nil {
			return err
		}
	}
	return w.awaitKnownWebhooks(ctx, namespace, eventType, 1)
}

// outageLoads are the publishers: of the broken webhook, of the healthy one
// beside it and of the one in another namespace.
type outageLoads struct {
	specs   []load.Spec
	running []*loadProcess
}

func (w *deployment) startOutageLoads(ctx context.Context) (*outageLoads, error) {
	all := &outageLoads{}
	for _, one := range []struct {
		space, kind string
		rate        float64
	}{{namespace, brokenType, brokenRate}, {namespace, eventType, healthyRate}, {otherNamespace, eventType, healthyRate}} {
		spec := w.spec(one.kind)
		spec.Token, spec.Rate, spec.Publishers, spec.Duration = w.tokens[one.space], one.rate, outagePublishers, time.Hour
		p, err := w.b.startLoad(ctx, spec)
		if err != nil {
			all.abandon()
			return nil, err
		}
		all.specs, all.running = append(all.specs, spec), append(all.running, p)
	}
	return all, nil
}

func (l *outageLoads) abandon() { _, _ = l.stop() }

// stop ends all publishers and returns what they were answered.
func (l *outageLoads) stop() (results []*load.Result, err error) {
	for _, p := range l.running {
		result, stopErr := p.stop()
		results, err = append(results, result), cmp.Or(err, stopErr)
	}
	return results, err
}

// outagePhase lets the endpoint answer so from now on and times all others.
func (w *deployment) outagePhase(ctx context.Context, label string, warmup, d time.Duration, answer sink.Answer) (map[string]stats.Latency, error) {
	if err := w.sink.Answer(ctx, brokenClass, answer); err != nil {
		return nil, err
	}
	if err := pause(ctx, warmup); err != nil {
		return nil, err
	}
	if err := w.sink.ResetLatencies(ctx); err != nil {
		return nil, err
	}
	defer w.profile(ctx, label, d)()
	if err := pause(ctx, d); err != nil {
		return nil, err
	}
	return w.sink.Latencies(ctx)
}

// stored is how much there was at most.
type stored struct {
	objects int
	bytes   float64 // of etcd's database
}

// watchOutageStore looks at the number of deliveries and the size of etcd every second
// until the returned function is called.
func (w *deployment) watchOutageStore(ctx context.Context) (stop func() (stored, error)) {
	ctx, cancel := context.WithCancel(ctx)
	var most stored
	var failure error
	var watching sync.WaitGroup
	watching.Go(func() {
		for pause(ctx, time.Second) == nil {
			objects, err := w.countDeliveries(ctx)
			if err != nil {
				if ctx.Err() == nil {
					failure = err
				}
				return
			}
			most.objects = max(most.objects, objects)
		}
	})
	return func() (stored, error) {
		cancel()
		watching.Wait()
		samples, err := w.stack.ScrapeAPIServer(context.WithoutCancel(ctx))
		if err != nil {
			return most, err
		}
		most.bytes = samples.Sum("apiserver_storage_size_bytes")
		return most, failure
	}
}

// judgeOutage accounts for every event.
func (w *deployment) judgeOutage(ctx context.Context, s *report.Scenario, specs []load.Spec, results []*load.Result, most stored) error {
	broken := results[0]
	kept, err := w.keptDeliveryEvents(ctx, "broken")
	if err != nil {
		return err
	}
	counts, err := w.sink.Counts(ctx, specs[0].Run)
	if err != nil {
		return err
	}
	received := counts["/"+brokenClass+"/broken"]
	outcome := tally.Compare(broken.States, received)
	lost, keptOnly, skipped := 0, 0, 0
	for n, state := range broken.States {
		arrived := n < len(received) && received[n] > 0
		switch {
		case state == tally.Skipped:
			skipped++
		case state != tally.Accepted || arrived:
		case kept[event.Mark{Run: specs[0].Run, Number: n}]:
			keptOnly++
		default:
			lost++
		}
	}
	refused, duplicates := 0, outcome.Duplicates
	for i, path := range []string{"/" + healthyClass + "/healthy", "/" + neighbourClass + "/neighbour"} {
		one, err := settleLanes(ctx, w.sink.ControlClient, specs[i+1].Run, results[i+1].States, lane{path})
		if err != nil {
			return err
		}
		lost, duplicates = lost+one.Missing, duplicates+one.Duplicates
		refused += results[i+1].Sent() - results[i+1].Accepted() + results[i+1].Skipped
	}
	s.Set("published", float64(broken.Sent()))
	s.Set("delivered", float64(outcome.Unique))
	s.Set("kept", float64(keptOnly))
	s.Set("skipped", float64(skipped))
	s.Set("refused", float64(broken.Sent()-broken.Accepted()))
	s.Set("objects_at_most", float64(most.objects))
	s.Set("etcd_mib", most.bytes/mib)
	s.Set(report.Missing, float64(lost))
	s.Set(report.Duplicates, float64(duplicates))
	s.Note("answers to publishers of the broken webhook: %v %.200s", broken.Codes, broken.Error)
	late := 0
	for _, result := range results {
		late += result.Late
	}
	nothingLost(s)
	s.AtMost("events sent later than a second after they were due", float64(late), 0)
	s.AtMost("publishes for healthy webhooks alone that were refused or skipped", float64(refused), 0)
	s.AtMost("deliveries stored at a time; unfinished of one webhook and finished of three", float64(most.objects), webhookLimit+3*keptLimit+slots)
	return nil
}
