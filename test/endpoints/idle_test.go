// SPDX-License-Identifier: Apache-2.0

package endpoints_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/test/endpoints"
)

// attemptsAtPeriod makes attempts at each of some destinations, rounds of them, as
// long apart as period says, and counts those that fail. Each is of a delivery of its
// own.
func attemptsAtPeriod(send func(dispatcher.Request) dispatcher.Result, urls []string, rounds int, period time.Duration) *failures {
	failed := newFailures()
	var all sync.WaitGroup
	for i, url := range urls {
		all.Go(func() {
			// Spread over the moments around the period at which the end may come.
			jitter := time.Duration(i%41-20) * time.Millisecond
			pause := time.NewTimer(0)
			for round := range rounds {
				<-pause.C
				request := attemptAt(url)
				request.DeliveryID = fmt.Sprintf("dlv_%d_%d", i, round)
				failed.take(send(request), 200)
				pause.Reset(period + jitter)
			}
		})
	}
	all.Wait()
	return failed
}

// awaitDeliveries waits until a server has told of so many requests, and fails if one
// delivery had two: each was answered.
func awaitDeliveries(t *testing.T, server *endpoints.ServerProcess, want int) {
	t.Helper()
	var got endpoints.Deliveries
	for end := time.Now().Add(5 * time.Second); got.Requests() < want && time.Now().Before(end); {
		var err error
		if got, err = server.Deliveries(); err != nil {
			t.Fatal(err)
		}
	}
	if got.Requests() != want || len(got.Repeated()) > 0 {
		t.Errorf("%d requests arrived for %d deliveries, of these twice: %v", got.Requests(), want, got.Repeated())
	}
}

// Node.js closes a connection that was idle for six seconds, and announces five. At
// a period of six seconds, 40 ms away, under one in a thousand attempts may meet
// that.
func TestNodeClosesIdleConnections(t *testing.T) {
	t.Parallel()
	node := started[*endpoints.ServerProcess](t)(endpoints.StartNode(0))
	attempts := sized(t, attemptsVariable, usualAttempts)
	failed := attemptsAtPeriod(startDispatcher(t), ways(t, "http", node.Addr(), attempts/rounds), rounds, 6*time.Second)
	failed.check(t, "Node.js, an attempt each 6 s, 40 ms away", attempts)
	awaitDeliveries(t, node, attempts)
}

// nginx ends a connection over HTTP/2 after fifty requests, while others are on
// their way to it.
func TestNginxEndsConnections(t *testing.T) {
	t.Parallel()
	nginx := started[*endpoints.ServerProcess](t)(endpoints.StartNginx(50))
	attempts := sized(t, attemptsVariable, usualAttempts)
	send := startDispatcher(t, nginx.CA().PEM())
	failed := manyAttempts(send, nginx.URL(), attempts, 8, 204)
	failed.check(t, "nginx, 50 requests a connection over HTTP/2, 8 at a time", attempts)
	awaitDeliveries(t, nginx, attempts)
}

// Servers that close connections and announce nothing, as Gunicorn after two seconds:
// no request goes out on a connection that is as old.
func TestIdleConnectionsAreClosedWithoutAWord(t *testing.T) {
	t.Parallel()
	for _, idle := range []time.Duration{2 * time.Second, 5 * time.Second} {
		for _, secure := range []bool{false, true} {
			name := fmt.Sprintf("closed after %v, TLS %v", idle, secure)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				failed, endpoint := attemptsAsItCloses(t, secure, idle)
				failed.check(t, name, destinations*rounds)
				checkNothingTwice(t, endpoint, destinations*rounds)
			})
		}
	}
}

// One second is less than an idle connection is kept for, so requests meet the end of
// theirs. One that has not arrived goes out again. One that the endpoint's system had
// acknowledged when it closed may have been read, and fails: that takes an endpoint
// that is slow to close, as on a machine that has too much to do.
func TestRequestsThatMeetTheEnd(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		name := fmt.Sprintf("closed after 1s, TLS %v", secure)
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			failed, endpoint := attemptsAsItCloses(t, secure, time.Second)
			failed.checkShare(t, name, destinations*rounds, 20)
			if repeated := endpoint.Deliveries().Repeated(); len(repeated) > 0 {
				t.Errorf("arrived twice: %v", repeated)
			}
		})
	}
}

const destinations, rounds = 82, 2

// attemptsAsItCloses makes attempts as long apart as the endpoint keeps connections.
func attemptsAsItCloses(t *testing.T, secure bool, idle time.Duration) (*failures, *endpoints.Endpoint) {
	t.Helper()
	endpoint := started[*endpoints.Endpoint](t)(endpoints.StartHTTP1IdleCloser(secure, idle))
	urls := ways(t, endpoint.Scheme(), endpoint.Addr(), destinations)
	return attemptsAtPeriod(startDispatcher(t, endpoint.CA()), urls, rounds, idle), endpoint
}

// An endpoint that answers and closes the connection at once, over TLS, near by and
// far away.
func TestConnectionsEndAtOnce(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		for _, far := range []bool{false, true} {
			name := fmt.Sprintf("closed at once, TLS %v, 40 ms away %v", secure, far)
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				endpoint := started[*endpoints.Endpoint](t)(endpoints.StartHTTP1Closer(secure))
				url, atATime := endpoint.URL(), 8
				if far {
					url, atATime = ways(t, endpoint.Scheme(), endpoint.Addr(), 1)[0], 32
				}
				attempts := sized(t, attemptsVariable, usualAttempts)
				failed := manyAttempts(startDispatcher(t, endpoint.CA()), url, attempts, atATime, 200)
				failed.check(t, name, attempts)
				checkNothingTwice(t, endpoint, attempts)
			})
		}
	}
}

// checkNothingTwice fails if an endpoint got more or fewer requests than deliveries.
func checkNothingTwice(t *testing.T, endpoint *endpoints.Endpoint, want int) {
	t.Helper()
	if got := endpoint.Deliveries(); got.Requests() != want || len(got.Repeated()) > 0 {
		t.Errorf("%d requests arrived for %d deliveries, of these twice: %v", got.Requests(), want, got.Repeated())
	}
}

// A connection that is in use all the time is used again, once the endpoint has shown
// that it keeps connections.
func TestConnectionsAreUsedAgain(t *testing.T) {
	t.Parallel()
	endpoint := started[*endpoints.Endpoint](t)(endpoints.StartHTTP1IdleCloser(true, time.Minute))
	send := startDispatcher(t, endpoint.CA())
	attempt := func() (used bool) {
		before := endpoint.Connections()
		if got := send(attemptAt(endpoint.URL())); !got.Succeeded() {
			t.Fatalf("%+v", got)
		}
		return endpoint.Connections() == before
	}
	for end := time.Now().Add(5 * time.Second); !attempt(); {
		if time.Now().After(end) {
			t.Fatal("no connection is used again")
		}
	}
	used := 0
	for range 50 {
		if attempt() {
			used++
		}
	}
	if used < 45 { // as a rule 50; a machine that stands still lets one grow too old
		t.Errorf("%d of 50 attempts one after the other used a connection again", used)
	}
}

// A request that the endpoint has read is never sent again, even if the connection
// ended instead of an answer.
func TestWhatWasReadIsNotSentAgain(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*endpoints.HTTP1Exchange){"closed": func(*endpoints.HTTP1Exchange) {}, "reset": (*endpoints.HTTP1Exchange).Reset} {
		for _, secure := range []bool{false, true} {
			var ended atomic.Int64
			endpoint := started[*endpoints.Endpoint](t)(endpoints.StartHTTP1(secure, func(x *endpoints.HTTP1Exchange) bool {
				if !x.Read() {
					return false
				}
				if x.Number == 2 {
					ended.Add(1)
					end(x)
					return false
				}
				x.Say("HTTP/1.1 204 No Content\r\nKeep-Alive: timeout=60\r\n\r\n")
				return true
			}))
			send := startDispatcher(t, endpoint.CA())
			// Not each connection is used again, as the machine may stand still.
			const enough, most = 5, 200
			failed, attempts := 0, 0
			for ; ended.Load() < enough && attempts < most; attempts++ {
				if got := send(attemptAt(endpoint.URL())); !got.Succeeded() {
					failed++
				}
			}
			if requests, ended := endpoint.Requests(), int(ended.Load()); ended < enough || failed != ended || requests != attempts {
				t.Errorf("%s, TLS %v: %d attempts, %d requests, %d ended without an answer, %d failed", name, secure, attempts, requests, ended, failed)
			}
		}
	}
}
