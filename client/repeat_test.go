// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/client"
)

const token = "not-for-others"

// answerFunc stands in for the network, so that time can be a test's own.
type answerFunc func(*http.Request) (*http.Response, error)

func (f answerFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func answer(status int, header http.Header, body string) *http.Response {
	if header == nil {
		header = http.Header{}
	}
	if header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/json")
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body))}
}

func newClient(t *testing.T, network answerFunc, change ...func(*client.Options)) *client.Client {
	t.Helper()
	options := client.Options{
		BaseURL: "https://api.example", Token: client.StaticToken(token),
		HTTPClient: &http.Client{Transport: network},
	}
	for _, apply := range change {
		apply(&options)
	}
	c, err := client.New(options)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func get(ctx context.Context, c *client.Client) error {
	_, err := c.GetWebhook(ctx, "wh_1")
	return err
}

func TestRepeat(t *testing.T) {
	t.Parallel()
	busy := func(status int, retryAfter string) answerFunc {
		return func(*http.Request) (*http.Response, error) {
			return answer(status, http.Header{"Retry-After": {retryAfter}}, `{}`), nil
		}
	}
	ok := func(*http.Request) (*http.Response, error) { return answer(200, nil, `{}`), nil }
	reset := func(*http.Request) (*http.Response, error) { return nil, syscall.ECONNRESET }
	cut := func(*http.Request) (*http.Response, error) {
		response := answer(200, nil, `{`)
		response.Body = io.NopCloser(io.MultiReader(strings.NewReader(`{"name`), errReader{}))
		return response, nil
	}
	for _, test := range []struct {
		name     string
		answers  []answerFunc // the last one for ever
		call     func(context.Context, *client.Client) error
		options  func(*client.Options)
		requests int
		waited   [2]time.Duration // at least, at most
		status   int              // of the error; -1: none, 0: no answer
	}{
		{"waits as long as Retry-After says", []answerFunc{busy(503, "7"), busy(429, "3"), ok}, get, nil, 3, [2]time.Duration{10 * time.Second, 10 * time.Second}, -1},
		{"doubles its wait when nobody says how long", []answerFunc{busy(503, ""), busy(503, ""), ok}, get, nil, 3, [2]time.Duration{750 * time.Millisecond, 1500 * time.Millisecond}, -1},
		{"gives up after four repetitions", []answerFunc{busy(503, "1")}, get, nil, 5, [2]time.Duration{4 * time.Second, 4 * time.Second}, 503},
		{"does not repeat when told not to", []answerFunc{busy(503, "1")}, get, func(o *client.Options) { o.Repeats = -1 }, 1, [2]time.Duration{}, 503},
		{"does not wait longer than MaxWait", []answerFunc{busy(429, "31")}, get, nil, 1, [2]time.Duration{}, 429},
		{"repeats after a reset", []answerFunc{reset, ok}, get, nil, 2, [2]time.Duration{250 * time.Millisecond, 500 * time.Millisecond}, -1},
		{"repeats after an answer that was cut short", []answerFunc{cut, ok}, get, nil, 2, [2]time.Duration{250 * time.Millisecond, 500 * time.Millisecond}, -1},
		{"does not repeat what the server refuses", []answerFunc{busy(404, "1")}, get, nil, 1, [2]time.Duration{}, 404},
		{"does not repeat an internal error", []answerFunc{busy(500, "1")}, get, nil, 1, [2]time.Duration{}, 500},
		{"repeats publishing, since the event has an id", []answerFunc{busy(503, "1"), ok}, func(ctx context.Context, c *client.Client) error {
			_, err := c.Publish(ctx, rest.EventPublish{Event: "a", Data: json.RawMessage(`{}`)})
			return err
		}, nil, 2, [2]time.Duration{time.Second, time.Second}, -1},
		{"does not repeat a body without an id", []answerFunc{busy(503, "1")}, func(ctx context.Context, c *client.Client) error {
			_, err := c.PublishJSON(ctx, []byte(`{"event":"a","data":{}}`), "")
			return err
		}, nil, 1, [2]time.Duration{}, 503},
		{"repeats a body with an id", []answerFunc{busy(503, "1"), ok}, func(ctx context.Context, c *client.Client) error {
			_, err := c.PublishJSON(ctx, []byte(`{"event":"a","data":{},"id":"x"}`), "")
			return err
		}, nil, 2, [2]time.Duration{time.Second, time.Second}, -1},
		{"does not repeat create", []answerFunc{busy(503, "1")}, func(ctx context.Context, c *client.Client) error {
			_, err := c.CreateWebhook(ctx, rest.WebhookCreate{})
			return err
		}, nil, 1, [2]time.Duration{}, 503},
		{"does not repeat delete", []answerFunc{busy(503, "1")}, func(ctx context.Context, c *client.Client) error {
			return c.DeleteWebhook(ctx, "wh_1")
		}, nil, 1, [2]time.Duration{}, 503},
		{"repeats a rotation under one key", []answerFunc{busy(503, "1"), ok}, func(ctx context.Context, c *client.Client) error {
			_, err := c.RotateSecret(ctx, "wh_1")
			return err
		}, nil, 2, [2]time.Duration{time.Second, time.Second}, -1},
		{"does not repeat a test", []answerFunc{busy(503, "1")}, func(ctx context.Context, c *client.Client) error {
			_, err := c.TestWebhook(ctx, "wh_1", "a", nil)
			return err
		}, nil, 1, [2]time.Duration{}, 503},
		{"does not repeat a retry", []answerFunc{busy(503, "1")}, func(ctx context.Context, c *client.Client) error {
			_, err := c.RetryDelivery(ctx, "dlv_1")
			return err
		}, nil, 1, [2]time.Duration{}, 503},
		{"repeats an update", []answerFunc{busy(503, "1"), ok}, func(ctx context.Context, c *client.Client) error {
			_, err := c.UpdateWebhook(ctx, "wh_1", "", rest.WebhookUpdate{})
			return err
		}, nil, 2, [2]time.Duration{time.Second, time.Second}, -1},
		{"does not repeat an update of one version", []answerFunc{busy(503, "1")}, func(ctx context.Context, c *client.Client) error {
			_, err := c.UpdateWebhook(ctx, "wh_1", `"1"`, rest.WebhookUpdate{})
			return err
		}, nil, 1, [2]time.Duration{}, 503},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				requests := 0
				var first string
				keys := map[string]bool{}
				network := func(r *http.Request) (*http.Response, error) {
					body := ""
					if r.Body != nil {
						read, _ := io.ReadAll(r.Body)
						body = string(read)
					}
					if requests == 0 {
						first = body
					}
					if body != first {
						t.Errorf("the repetition sent %s, before it was %s", body, first)
					}
					keys[r.Header.Get("Idempotency-Key")] = true
					next := test.answers[min(requests, len(test.answers)-1)]
					requests++
					return next(r)
				}
				var change []func(*client.Options)
				if test.options != nil {
					change = append(change, test.options)
				}
				started := time.Now()
				err := test.call(t.Context(), newClient(t, network, change...))
				if waited := time.Since(started); waited < test.waited[0] || waited > test.waited[1] {
					t.Errorf("waited %s, want %s to %s", waited, test.waited[0], test.waited[1])
				}
				if len(keys) != 1 || keys[""] == strings.Contains(test.name, "rotation") {
					t.Errorf("idempotency keys %v", keys)
				}
				if requests != test.requests {
					t.Errorf("%d requests, want %d", requests, test.requests)
				}
				if (err == nil) != (test.status == -1) || err != nil && client.StatusOf(err) != test.status {
					t.Errorf("got error %v, want status %d", err, test.status)
				}
			})
		})
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestRepeatEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, func(*http.Request) (*http.Response, error) {
			return answer(503, http.Header{"Retry-After": {"20"}}, `{}`), nil
		})
		started := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := get(ctx, c); client.StatusOf(err) != 503 || time.Since(started) != 0 {
			t.Errorf("a wait beyond the deadline: got %v after %s", err, time.Since(started))
		}
		ctx, cancel = context.WithCancel(t.Context())
		time.AfterFunc(3*time.Second, cancel)
		started = time.Now()
		if err := get(ctx, c); client.StatusOf(err) != 503 || time.Since(started) != 3*time.Second {
			t.Errorf("cancelled while waiting: got %v after %s", err, time.Since(started))
		}
	})
}

func TestPublishErrorTellsTheID(t *testing.T) {
	t.Parallel()
	c := newClient(t, func(*http.Request) (*http.Response, error) { return nil, errors.New("no network") },
		func(o *client.Options) { o.Repeats = -1 })
	_, err := c.Publish(t.Context(), rest.EventPublish{Event: "a", Data: json.RawMessage(`{}`)})
	if id := client.EventID(err); !strings.HasPrefix(id, "evt_") || !strings.Contains(err.Error(), id) {
		t.Errorf("got id %q of %v", id, err)
	}
	if id := client.EventID(errors.New("something else")); id != "" {
		t.Errorf("got id %q of an error without one", id)
	}
}
