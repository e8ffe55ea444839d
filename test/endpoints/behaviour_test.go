// SPDX-License-Identifier: Apache-2.0

package endpoints_test

import (
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/test/endpoints"
)

// What the endpoint has answered is the outcome, once, whatever is wrong with the
// rest; what it has not processed goes out once more.
func TestAnswersCount(t *testing.T) {
	t.Parallel()
	for _, behaviour := range endpoints.Behaviours() {
		for size, name := range map[int]string{100: "", 200 << 10: ", a large request"} {
			t.Run(behaviour.Name+name, func(t *testing.T) {
				t.Parallel()
				endpoint := started[*endpoints.Endpoint](t)(behaviour.Start())
				request := attemptAt(endpoint.URL())
				request.Payload = make([]byte, size)
				began := time.Now()
				got := newSender(t, endpoint.Pool(), nil).Send(t.Context(), request)
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("took %v: what comes after the head is not waited for", took)
				}
				if got.StatusCode != behaviour.Status || got.Succeeded() != (behaviour.Status/100 == 2) {
					t.Errorf("the endpoint answered %d: %+v", behaviour.Status, got)
				}
				if requests := endpoint.Requests(); requests != behaviour.Requests {
					t.Errorf("%d requests arrived, want %d", requests, behaviour.Requests)
				}
			})
		}
	}
}

// That HTTP/1.1 is wanted is remembered: the next request does not ask again.
func TestHTTP11RequiredIsRemembered(t *testing.T) {
	t.Parallel()
	endpoint := started[*endpoints.Endpoint](t)(endpoints.StartHTTP11Required())
	sender := newSender(t, endpoint.Pool(), nil)
	for range 5 {
		if got := sender.Send(t.Context(), attemptAt(endpoint.URL())); !got.Succeeded() {
			t.Errorf("%+v", got)
		}
	}
	if requests, connections := endpoint.Requests(), endpoint.Connections(); requests != 6 || connections != 2 {
		t.Errorf("%d requests on %d connections, want 6 on 2", requests, connections)
	}
}

// A final answer and the end of the connection before the body, or anything, was read:
// none of a thousand is lost, with and without TLS, with small and large requests.
func TestEarlyAnswersAreNotLost(t *testing.T) {
	t.Parallel()
	attempts := sized(t, attemptsVariable, usualAttempts)
	behaviours := endpoints.RashAnswers(410)
	for _, status := range []int{401, 410, 429} {
		behaviours = append(behaviours, endpoints.EarlyAnswers(status)...)
	}
	for _, behaviour := range behaviours {
		for size, name := range map[int]string{1 << 10: "1 KiB", 256 << 10: "256 KiB"} {
			t.Run(behaviour.Name+", "+name, func(t *testing.T) {
				endpoint := started[*endpoints.Endpoint](t)(behaviour.Start())
				send := startDispatcher(t, endpoint.CA())
				large := func(request dispatcher.Request) dispatcher.Result {
					request.Payload = make([]byte, size)
					return send(request)
				}
				failed := manyAttempts(large, endpoint.URL(), attempts, 8, behaviour.Status)
				failed.check(t, behaviour.Name+", "+name, attempts)
				if got := endpoint.Connections(); got != attempts {
					t.Errorf("%d connections for %d attempts", got, attempts)
				}
			})
		}
	}
}
