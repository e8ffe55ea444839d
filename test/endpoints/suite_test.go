// SPDX-License-Identifier: Apache-2.0

package endpoints_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/dispatcher/netguard"
	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
	"bbmcp.quietstack.com/webhooks/test/endpoints"
)

// newSender makes a dispatcher in this process, which may reach loopback and what is
// far away.
func newSender(t *testing.T, pool *x509.CertPool, resolver dispatcher.Resolver) *dispatcher.Sender {
	t.Helper()
	sender, err := dispatcher.NewSender(dispatcher.SenderOptions{
		Policy:  netguard.New(netguard.Options{Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix(endpoints.FarNetwork)}, AllowHTTP: true}),
		RootCAs: pool, Resolver: resolver, UserAgent: "BBMCP-Webhooks/test", ExplainAllowed: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(sender.Close)
	return sender
}

func attemptAt(url string) dispatcher.Request {
	return dispatcher.Request{
		DeliveryID: "dlv_1", EventID: "evt_1", EventType: "context.created", Attempt: 1, URL: url, Payload: []byte(`{"event":"context.created"}`),
		Keys: signature.Keys{Primary: signature.NewSecret("0123456789abcdef")}, Timeout: 10 * time.Second,
	}
}

// closer is a fixture.
type closer interface{ Close() }

// requiredVariable, when it is set, lets no test be skipped.
const requiredVariable = "ENDPOINTS_REQUIRED"

// started fails the test if a fixture could not start, and ends it with the test.
// A program that is not installed skips it, unless it is required.
func started[F closer](t *testing.T) func(F, error) F {
	return func(fixture F, err error) F {
		t.Helper()
		if errors.Is(err, endpoints.ErrNotInstalled) {
			skipUnlessRequired(t, err)
		}
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(fixture.Close)
		return fixture
	}
}

// skipUnlessRequired ends a test that the machine cannot run.
func skipUnlessRequired(t *testing.T, err error) {
	t.Helper()
	if os.Getenv(requiredVariable) != "" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// attemptsVariable sets how many attempts a test makes; make check-endpoints makes
// 1,000.
const (
	attemptsVariable = "ENDPOINTS_ATTEMPTS"
	usualAttempts    = 200
)

// sized is a number that the environment can set.
func sized(t *testing.T, variable string, usual int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return n
}

// failures counts the attempts that did not end as they should, by what they ended
// with.
type failures struct {
	mu sync.Mutex
	by map[string]int
}

func newFailures() *failures { return &failures{by: map[string]int{}} }

// take takes in how an attempt ended, and should have ended.
func (f *failures) take(got dispatcher.Result, status int) {
	if got.StatusCode == status {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.by[fmt.Sprintf("%s: %s", got.Reason, got.Message)]++
}

// check reports the share that failed, for a reason that is not the endpoint's, and
// fails the test if that is one in a thousand or more.
func (f *failures) check(t *testing.T, of string, attempts int) {
	t.Helper()
	f.checkShare(t, of, attempts, 1000)
}

// checkShare is the same with another share: under one in so many.
func (f *failures) checkShare(t *testing.T, of string, attempts, oneIn int) {
	t.Helper()
	failed := 0
	for _, n := range f.by {
		failed += n
	}
	t.Logf("%s: %d of %d attempts failed", of, failed, attempts)
	if failed*oneIn >= attempts {
		t.Errorf("%s: %v", of, f.by)
	}
}

// manyAttempts makes attempts at one destination, so many at a time, each of a
// delivery of its own, and counts those that do not end with this status.
func manyAttempts(send func(dispatcher.Request) dispatcher.Result, url string, attempts, atATime, status int) *failures {
	failed := newFailures()
	var next atomic.Int64
	var all sync.WaitGroup
	for range atATime {
		all.Go(func() {
			for {
				n := next.Add(1)
				if n > int64(attempts) {
					return
				}
				request := attemptAt(url)
				request.DeliveryID = fmt.Sprintf("dlv_%d", n)
				failed.take(send(request), status)
			}
		})
	}
	all.Wait()
	return failed
}
