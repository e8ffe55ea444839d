// SPDX-License-Identifier: Apache-2.0

//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	. "github.com/onsi/ginkgo/v2"
	. "github.com/onsi/gomega"

	"bbmcp.quietstack.com/webhooks/api/rest"
	sdk "bbmcp.quietstack.com/webhooks/client"
)

// publishEvery is the time between two events: 50 a second.
const publishEvery = 20 * time.Millisecond

// phase is what was published while one thing was done to the cluster.
type phase struct {
	name      string
	published int
	longest   time.Duration // from the moment an event is due to its 202
	skipped   int           // deliveries that an answer says were not made
	failed    []string      // what the SDK gave up on; it was published again with the same id
}

// stream publishes 50 events a second with the SDK as it comes, each event in
// its own time.
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
				id := fmt.Sprintf("%s-%d", p.name, p.published)
				p.published++
				s.open++
				s.mu.Unlock()
				s.events.Go(func() { s.publish(context.WithoutCancel(ctx), p, id, due) })
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

func (s *stream) publish(ctx context.Context, p *phase, id string, due time.Time) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		published, err := s.api.Publish(ctx, rest.EventPublish{ID: id, Event: "e2e." + p.name, Data: json.RawMessage(`{"total":1250}`)})
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
	api, err := sdk.New(sdk.Options{BaseURL: url, Token: sdk.StaticToken(config.BearerToken)})
	Expect(err).NotTo(HaveOccurred())
	return api
}
