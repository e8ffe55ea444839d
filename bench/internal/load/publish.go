// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/valyala/fasthttp"

	"bbmcp.quietstack.com/webhooks/bench/internal/event"
	"bbmcp.quietstack.com/webhooks/bench/internal/stats"
	"bbmcp.quietstack.com/webhooks/bench/internal/tally"
)

const (
	// answerWithin is how long a publisher waits: more than the gateway takes.
	answerWithin = 20 * time.Second
	// repeatAfter is the pause before an event is published again.
	repeatAfter = 200 * time.Millisecond
)

// Members of an answer that are counted without decoding it.
var (
	deliveryMember  = []byte(`"delivery_id":`)       //nolint:gochecknoglobals // a constant
	webhookMember   = []byte(`"webhook_id":`)        //nolint:gochecknoglobals // a constant
	succeededMember = []byte(`"status":"succeeded"`) //nolint:gochecknoglobals // a constant
)

// loadPublisher sends one event at a time.
type loadPublisher struct {
	g        *loadGenerator
	request  *fasthttp.Request
	response *fasthttp.Response
	body     []byte

	states []numbered
	result Result
	micros []uint32
}

func (g *loadGenerator) newPublisher() *loadPublisher {
	p := &loadPublisher{g: g, request: fasthttp.AcquireRequest(), response: fasthttp.AcquireResponse()}
	p.result.Codes = map[int]int{}
	p.request.SetRequestURI(g.spec.URL)
	header := &p.request.Header
	header.SetMethod(http.MethodPost)
	header.SetContentType("application/json")
	if g.spec.Token != "" {
		header.Set("Authorization", "Bearer "+g.spec.Token)
	}
	if g.spec.Prefer != "" {
		header.Set("Prefer", g.spec.Prefer)
	}
	return p
}

// done hands over what the publisher knows.
func (p *loadPublisher) done() {
	p.g.merge(p)
	fasthttp.ReleaseRequest(p.request)
	fasthttp.ReleaseResponse(p.response)
}

// publish sends event n, again if that is asked for, until it is accepted.
func (p *loadPublisher) publish(ctx context.Context, n int) {
	if p.g.spec.Keys {
		p.request.Header.Set("Idempotency-Key", fmt.Sprintf("bench-%04d-%010d", p.g.spec.Run, n))
	}
	sent := time.Now()
	template := p.g.templates[n%len(p.g.templates)]
	p.body = template.Render(p.body[:0], event.Mark{Run: p.g.spec.Run, Number: n, Sent: sent})
	state := p.send()
	// A publisher goes on trying also when the run is over: what it was not
	// promised it could not leave.
	for until := sent.Add(p.g.spec.RepeatFor); state < tally.Skipped && time.Now().Before(until); {
		pauseGenerator(context.WithoutCancel(ctx), repeatAfter)
		p.result.Repeats++
		state = p.send()
	}
	if state == tally.Accepted {
		p.micros = append(p.micros, stats.Micros(time.Since(sent)))
	}
	p.states = append(p.states, numbered{n, state})
}

// send makes one request and says what is known after it.
func (p *loadPublisher) send() tally.State {
	p.request.SetBodyRaw(p.body)
	if err := p.g.client.DoTimeout(p.request, p.response, answerWithin); err != nil {
		p.result.Codes[0]++
		p.result.Error = err.Error()
		return tally.Unknown
	}
	code := p.response.StatusCode()
	p.result.Codes[code]++
	if code == http.StatusAccepted {
		return p.accepted()
	}
	p.result.Error = string(p.response.Body())
	if code == http.StatusTooManyRequests || code == http.StatusServiceUnavailable {
		if len(p.response.Header.Peek("Retry-After")) == 0 {
			p.result.NoRetryAfter++
		}
	}
	if code >= http.StatusInternalServerError {
		return tally.Unknown // a part of the fan-out may exist
	}
	return tally.Refused
}

// accepted reads the answer to an event that was accepted.
func (p *loadPublisher) accepted() tally.State {
	answer := p.response.Body()
	deliveries := bytes.Count(answer, deliveryMember)
	p.result.Deliveries += deliveries
	skipped := bytes.Count(answer, webhookMember) - deliveries
	p.result.Skipped += skipped
	p.result.Inline += bytes.Count(answer, succeededMember)
	p.g.expected.Add(int64(deliveries))
	if deliveries == 0 && skipped > 0 {
		return tally.Skipped
	}
	return tally.Accepted
}
