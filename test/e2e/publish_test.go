// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/api/rest"
	sdk "bbmcp.quietstack.com/webhooks/client"
)

// publishEvery is the time between two events: 50 a second.
const publishEvery = 20 * time.Millisecond

// Event types: one event in checkedEvery has a type that a second webhook wants, too.
const (
	plain        = "e2e."
	checked      = "checked."
	checkedEvery = 5
)

// phase is what was published while one thing was done to the cluster.
type phase struct {
	name      string
	published int
	longest   time.Duration // from the moment an event is due to its 202
	skipped   int           // deliveries that an answer says were not made
	failed    []string      // what the SDK gave up on; it was published again with the same id
}

// checked is how many of them also went to the webhook for what is checked.
func (p *phase) checked() int { return (p.published + checkedEvery - 1) / checkedEvery }

// stream publishes 50 events a second with the SDK, each event in its own time.
type stream struct {
	api    *sdk.Client
	mu     sync.Mutex
	now    *phase
	phases []*phase
	open   int // events that are due and not accepted
	stop   context.CancelFunc
	events sync.WaitGroup
}

func startStream(ctx context.Context, api *sdk.Client) *stream {
	ctx, cancel := context.WithCancel(ctx)
	s := &stream{api: api, stop: cancel}
	s.begin("steady")
	s.events.Go(func() {
		tick := time.NewTicker(publishEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case due := <-tick.C:
				s.mu.Lock()
				p := s.now
				kind, id := plain, fmt.Sprintf("%s-%d", p.name, p.published)
				if p.published%checkedEvery == 0 {
					kind = checked
				}
				p.published++
				s.open++
				s.mu.Unlock()
				s.events.Go(func() { s.publish(context.WithoutCancel(ctx), p, kind, id, due) })
			}
		}
	})
	return s
}

// begin starts a phase: what is due from now on counts for it.
func (s *stream) begin(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = &phase{name: name}
	s.phases = append(s.phases, s.now)
}

// outstanding is how many events are due and not accepted: a few, unless
// publishers are held up.
func (s *stream) outstanding() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open
}

// end stops the stream and returns when every event was accepted.
func (s *stream) end() []*phase {
	s.stop()
	s.events.Wait()
	return s.phases
}

func (s *stream) publish(ctx context.Context, p *phase, kind, id string, due time.Time) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		published, err := s.api.Publish(ctx, rest.EventPublish{ID: id, Event: kind + p.name, Data: json.RawMessage(`{"total":1250}`)})
		s.mu.Lock()
		if err == nil {
			p.longest = max(p.longest, time.Since(due))
			p.skipped += len(published.Skipped)
			s.open--
			s.mu.Unlock()
			return
		}
		p.failed = append(p.failed, err.Error())
		s.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
	}
}

// newAPI is a client of the REST API with the token of a ServiceAccount.
func newAPI(ctx context.Context, url, namespace, account string) *sdk.Client {
	GinkgoHelper()
	config, err := node.ControlPlane.ServiceAccountConfig(ctx, namespace, account, time.Hour)
	Expect(err).NotTo(HaveOccurred())
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = transport.MaxIdleConns
	api, err := sdk.New(sdk.Options{
		BaseURL: url, Token: sdk.StaticToken(config.BearerToken),
		HTTPClient: &http.Client{Transport: noting{transport}, Timeout: 30 * time.Second},
	})
	Expect(err).NotTo(HaveOccurred())
	return api
}

// noting writes down requests that failed or took long, to see what a pause was.
type noting struct{ next http.RoundTripper }

func (n noting) RoundTrip(request *http.Request) (*http.Response, error) {
	began := time.Now()
	var connected time.Duration
	var reused bool
	ctx := httptrace.WithClientTrace(request.Context(), &httptrace.ClientTrace{GotConn: func(got httptrace.GotConnInfo) {
		connected, reused = time.Since(began), got.Reused
	}})
	answer, err := n.next.RoundTrip(request.WithContext(ctx))
	took := time.Since(began)
	if err != nil || answer.StatusCode >= 400 || took > longestPause/4 {
		status := 0
		if err == nil {
			status = answer.StatusCode
		}
		GinkgoWriter.Printf("%s %s: status %d, error %v, connected after %s (reused: %t), took %s\n",
			began.Format("15:04:05.000"), request.URL.Path, status, err, connected.Round(time.Millisecond), reused, took.Round(time.Millisecond))
	}
	return answer, err
}
