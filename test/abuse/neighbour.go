// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

const (
	// neighbourRate is how many events a second the neighbour publishes.
	neighbourRate = 50
	// storedEach is of how many events one is stored first and sent by the manager.
	storedEach = 10
	// answerWithin is how long a publisher waits, arriveWithin how long an event
	// that was accepted may be under way before it counts as lost.
	answerWithin = 20 * time.Second
	arriveWithin = 30 * time.Second

	// countedWindows is how many windows count; there are more, up to twice as many,
	// where others took more cores than calm.
	countedWindows = 3
	calm           = 0.4
)

// createdData is data that the schema of context.created lets pass.
const createdData = `{"context_id":"ctx_1","agent_id":"agent","transaction_hash":"0x1","context_hash":"0x2","status":"pending"}`

// neighbour publishes to an endpoint that answers at once, and times each event
// from the moment it is due to the moment it has arrived and is answered.
type neighbour struct {
	gateway   func() string // URL
	token     string
	endpoint  *receiver.Receiver
	client    *http.Client
	published int

	mu      sync.Mutex
	arrived map[string]time.Time // by event id
	changed chan struct{}        // closed and replaced when something arrives
}

// neighbourNotice is what the neighbour notices of something.
type neighbourNotice struct {
	sent, lost, refused int
	// prompt is how many percent of what is not stored first were delivered by the
	// first attempt, within the answer.
	prompt         int
	direct, stored time.Duration // p99, of first attempts and of what is stored first
	firstRefusal   string
	firstLost      string  // its id
	others         float64 // cores that others took, who have nothing to do with the test
}

// newNeighbour makes it trust roots; nil: those of the system.
func newNeighbour(roots *x509.CertPool) (*neighbour, error) {
	n := &neighbour{arrived: map[string]time.Time{}, changed: make(chan struct{})}
	n.client = &http.Client{Timeout: answerWithin, Transport: &http.Transport{
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		MaxIdleConnsPerHost: neighbourRate, DialContext: (&net.Dialer{Timeout: answerWithin}).DialContext,
	}}
	var err error
	n.endpoint, err = receiver.Start(receiver.Options{Keep: -1, OnReceived: n.note})
	return n, err
}

func (n *neighbour) note(one receiver.Received) {
	if one.Status < 200 || one.Status > 299 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if _, again := n.arrived[one.EventID]; !again {
		n.arrived[one.EventID] = one.At
		close(n.changed)
		n.changed = make(chan struct{})
	}
}

// neighbourEventID is the id of the neighbour's event of this number.
func neighbourEventID(number int) string { return fmt.Sprint("evt_neighbour_", number) }

// neighbourEvent is one of the neighbour's.
type neighbourEvent struct {
	id       string
	due      time.Time
	stored   bool
	answered time.Time
	refusal  string // why it was not accepted; empty: it was
	prompt   bool   // the answer says that it is delivered
}

// publish sends events for a while and returns what came of them.
func (n *neighbour) publish(ctx context.Context, during time.Duration) neighbourNotice {
	events := make([]*neighbourEvent, int(during.Seconds()*neighbourRate))
	var publishers sync.WaitGroup
	began := time.Now()
	for i := range events {
		n.published++
		one := &neighbourEvent{
			id: neighbourEventID(n.published), due: began.Add(time.Duration(i) * time.Second / neighbourRate),
			stored: i%storedEach == 0,
		}
		events[i] = one
		select {
		case <-time.After(time.Until(one.due)):
		case <-ctx.Done():
		}
		publishers.Go(func() { n.send(ctx, one, n.token) })
	}
	publishers.Wait()
	return n.judge(ctx, events)
}

// send publishes one event and notes what was answered.
func (n *neighbour) send(ctx context.Context, one *neighbourEvent, token string) {
	one.refusal = n.ask(ctx, one, token)
	one.answered = time.Now()
}

// ask says why an event was refused.
func (n *neighbour) ask(ctx context.Context, one *neighbourEvent, token string) string {
	body := fmt.Sprintf(`{"event":"context.created","id":%q,"data":%s}`, one.id, createdData)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, n.gateway()+"/v1/events", bytes.NewReader([]byte(body)))
	if err != nil {
		return err.Error()
	}
	request.Header.Set("Authorization", "Bearer "+token)
	request.Header.Set("Content-Type", "application/json")
	if one.stored {
		request.Header.Set("Prefer", "respond-async")
	}
	response, err := n.client.Do(request)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err.Error()
	}
	var published rest.Published
	if response.StatusCode != http.StatusAccepted || json.Unmarshal(text, &published) != nil || len(published.Deliveries) != 1 {
		return response.Status + " " + string(text)
	}
	one.prompt = published.Deliveries[0].Status == "succeeded"
	return ""
}

// judge waits for what was accepted and sums up.
func (n *neighbour) judge(ctx context.Context, events []*neighbourEvent) neighbourNotice {
	found := neighbourNotice{sent: len(events)}
	ctx, cancel := context.WithTimeout(ctx, arriveWithin)
	defer cancel()
	took, direct, prompt := map[bool][]time.Duration{}, 0, 0
	for _, one := range events {
		if one.refusal != "" {
			found.refused++
			found.firstRefusal = max(found.firstRefusal, one.refusal)
			continue
		}
		if !one.stored {
			direct++
			if one.prompt {
				prompt++
			}
		}
		at, ok := n.wait(ctx, one.id)
		if !ok {
			found.lost++
			found.firstLost = one.id
			continue
		}
		if one.answered.After(at) {
			at = one.answered
		}
		took[one.stored] = append(took[one.stored], at.Sub(one.due))
	}
	found.prompt = 100 * prompt / max(direct, 1)
	found.direct, found.stored = noticePercentile(took[false], 99), noticePercentile(took[true], 99)
	return found
}

// wait is when an event arrived.
func (n *neighbour) wait(ctx context.Context, id string) (time.Time, bool) {
	for {
		n.mu.Lock()
		at, ok := n.arrived[id]
		changed := n.changed
		n.mu.Unlock()
		if ok {
			return at, true
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return time.Time{}, false
		}
	}
}

// noticePercentile is the smallest of times that so many percent do not exceed.
func noticePercentile(times []time.Duration, p int) time.Duration {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	return sorted[max(0, (len(sorted)*p+99)/100-1)]
}

// sumNotices puts windows together: what is counted is added up; of times the median of
// those windows counts in which others took the least CPU, so many as count.
func sumNotices(windows []neighbourNotice, counted int) neighbourNotice {
	all := neighbourNotice{prompt: 100}
	for _, one := range windows {
		all.sent += one.sent
		all.lost += one.lost
		all.refused += one.refused
		all.prompt = min(all.prompt, one.prompt)
		all.firstRefusal = max(all.firstRefusal, one.firstRefusal)
		all.firstLost = max(all.firstLost, one.firstLost)
	}
	calm := slices.SortedFunc(slices.Values(windows), func(a, b neighbourNotice) int { return cmp.Compare(a.others, b.others) })
	var direct, stored []time.Duration
	for _, one := range calm[:min(len(calm), counted)] {
		direct, stored = append(direct, one.direct), append(stored, one.stored)
		all.others = max(all.others, one.others)
	}
	all.direct, all.stored = noticePercentile(direct, 50), noticePercentile(stored, 50)
	return all
}
