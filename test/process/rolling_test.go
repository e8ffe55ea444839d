// SPDX-License-Identifier: Apache-2.0

package process_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
	"bbmcp.quietstack.com/webhooks/test/suite"
)

const (
	// publishEvery is the pause between two events of a steady publisher: 50 a
	// second.
	publishEvery = 20 * time.Millisecond
	// longestPause is what no publisher may wait for an answer, whatever is
	// being replaced meanwhile.
	longestPause = 2 * time.Second
	// listed is how late a Service hears that a replica is not ready.
	listed = 500 * time.Millisecond
	// Every troublesomeEvery-th event goes to endpoints that make work, too.
	plain, troublesome = "order.created", "order.refunded"
	troublesomeEvery   = 5
)

// sent is how many events a stream has published.
type sent struct{ all, troublesome int }

// service leads to ready gateways, as one of Kubernetes does: it looks at
// /readyz now and then, and hands out new connections to what was ready then.
type service struct {
	mu       sync.Mutex
	members  []*stack.Gateway
	ready    []string
	stopping context.CancelFunc
	watching sync.WaitGroup
}

func newService(ctx context.Context) *service {
	ctx, cancel := context.WithCancel(ctx)
	s := &service{stopping: cancel}
	s.watching.Go(func() {
		tick := time.NewTicker(listed)
		defer tick.Stop()
		for ctx.Err() == nil {
			s.look(ctx)
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	DeferCleanup(func() {
		cancel()
		s.watching.Wait()
	})
	return s
}

func (s *service) look(ctx context.Context) {
	s.mu.Lock()
	members := slices.Clone(s.members)
	s.mu.Unlock()
	var ready []string
	for _, member := range members {
		if _, err := stack.ScrapeText(ctx, http.DefaultClient, member.URL+"/readyz"); err == nil {
			ready = append(ready, member.URL)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = ready
}

func (s *service) add(member *stack.Gateway) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.members = append(s.members, member)
}

// pick is where the next connection goes; "" if nothing is ready.
func (s *service) pick() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ready) == 0 {
		return ""
	}
	return s.ready[rand.IntN(len(s.ready))]
}

// stream publishes 50 events a second, each in its own time, and repeats with
// the event's key what was not accepted.
type stream struct {
	service *service
	token   string
	// through keeps connections, as publishers do: a replica that ends has to
	// close them in a way that costs no event.
	through *http.Client

	mu       sync.Mutex
	repeats  map[string]int // by what was answered
	longest  time.Duration
	accepted []time.Time
}

func (s *stream) run(ctx context.Context, done <-chan struct{}) (total sent) {
	var events sync.WaitGroup
	tick := time.NewTicker(publishEvery)
	defer tick.Stop()
	for {
		select {
		case <-done:
			events.Wait()
			return total
		case <-ctx.Done():
			events.Wait()
			return total
		case <-tick.C:
			kind := plain
			if total.all%troublesomeEvery == 0 {
				kind = troublesome
				total.troublesome++
			}
			id := fmt.Sprintf("roll-%d", total.all)
			total.all++
			events.Go(func() { s.publish(ctx, kind, id) })
		}
	}
}

func (s *stream) publish(ctx context.Context, kind, id string) {
	began := time.Now()
	for ctx.Err() == nil {
		said := "no replica is ready"
		if to := s.service.pick(); to != "" {
			status, text := postEvent(ctx, s.through, to, s.token, kind, id, "", nil)
			if status == http.StatusAccepted {
				s.note(time.Since(began))
				return
			}
			said = fmt.Sprintf("%d %.120s", status, text)
		}
		s.mu.Lock()
		s.repeats[said]++
		s.mu.Unlock()
		pass(ctx, suite.PollEvery)
	}
}

func (s *stream) note(took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.longest = max(s.longest, took)
	s.accepted = append(s.accepted, time.Now())
}

// gap is the longest time in which no event was accepted.
func (s *stream) gap() time.Duration {
	var longest time.Duration
	for i := 1; i < len(s.accepted); i++ {
		longest = max(longest, s.accepted[i].Sub(s.accepted[i-1]))
	}
	return longest
}

var _ = Describe("a rolling update under 50 events/s", func() {
	It("loses nothing and keeps no publisher waiting", SpecTimeout(5*time.Minute), func(ctx SpecContext) {
		t := newTenant(ctx, receiver.Options{Keep: -1})
		front := stack.GatewayOptions{Supervise: true, Args: []string{"--allow-unregistered-event-types", "--drain-delay=2s", "--replicas=2",
			"--first-attempt-wait=500ms"}} // for the endpoint that is slow; it is no pause of ours
		managers := []*stack.Manager{startLeader(ctx, quick()), startManager(ctx, quick())}
		gateways := []*stack.Gateway{startGateway(ctx, front), startGateway(ctx, front)}
		service := newService(ctx)
		for _, gateway := range gateways {
			service.add(gateway)
		}
		// One endpoint is well, one refuses every third event once, one is slower
		// than a publisher waits: so gateways and managers all have work. The latter
		// two get few, or the API server would be what is tested.
		t.endpoint.Script("/slow", receiver.Step{Delay: time.Second})
		var refusals []receiver.Step
		for range 400 {
			refusals = append(refusals, receiver.Step{Status: 500}, receiver.Step{Times: 3})
		}
		t.endpoint.Script("/flaky", append(refusals, receiver.Step{})...)
		quickly := func(spec *v1alpha1.WebhookSpec) {
			delays := slices.Repeat([]metav1.Duration{{Duration: time.Second}}, 8)
			spec.RetryPolicy = &v1alpha1.RetryPolicy{Delays: &delays}
		}
		some := func(spec *v1alpha1.WebhookSpec) { spec.Events = []string{troublesome} }
		hooks := []*v1alpha1.Webhook{t.declare(ctx, "well"), t.declare(ctx, "flaky", some, quickly), t.declare(ctx, "slow", some)}
		t.ready(ctx, hooks...)
		token := cluster.NewAccount(ctx, t.namespace, "publisher", suite.Publisher)

		s := &stream{service: service, token: token, through: &http.Client{Timeout: 20 * time.Second}, repeats: map[string]int{}}
		done, published := make(chan struct{}), make(chan sent, 1)
		go func() { published <- s.run(ctx, done) }()
		pass(ctx, 2*time.Second)
		began := time.Now()
		for i, old := range managers { // a new replica is ready before an old one is told to end
			managers[i] = startManager(ctx, quick())
			old.Stop()
			Expect(old.Process.Err()).NotTo(HaveOccurred())
		}
		for i, old := range gateways {
			gateways[i] = startGateway(ctx, front)
			service.add(gateways[i])
			old.Stop()
			Expect(old.Process.Err()).NotTo(HaveOccurred())
		}
		took := time.Since(began)
		pass(ctx, 2*time.Second)
		close(done)
		total := <-published
		t.waitSucceeded(ctx, 2*time.Minute)

		measured("%d events to %d webhooks while all was replaced in %s: longest wait of a publisher %s, longest time without an answer %s, repeated: %v",
			total.all, len(hooks), took.Round(100*time.Millisecond), s.longest.Round(time.Millisecond), s.gap().Round(time.Millisecond), s.repeats)
		counts := t.endpoint.Counts("")
		measured("%+v", counts)
		for hook, want := range map[string]int{"well": total.all, "flaky": total.troublesome, "slow": total.troublesome} {
			Expect(t.endpoint.Counts("/"+hook).Accepted).To(Equal(want), "events that %s took", hook)
		}
		Expect(s.longest).To(BeNumerically("<", longestPause))
		Expect(s.gap()).To(BeNumerically("<", longestPause))
		Expect(counts.Duplicates).To(BeZero(), "nothing crashed")
		Expect(counts.Verified).To(Equal(counts.Posts))
	})
})
