// SPDX-License-Identifier: Apache-2.0

package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/client"
)

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, url, want string }{
		{"nothing", "", "missing"},
		{"another scheme", "ftp://api.example", "https://host"},
		{"no host", "https://", "https://host"},
		{"no scheme", "api.example", "https://host"},
		{"a password, without showing it", "https://user:hunter2@api.example", "user info"},
		{"a query", "https://api.example?a=b", "query"},
		{"the version", "https://api.example/v1/", "/v1"},
		{"what is no URL, without showing a password in it", "https://user:hunter2@api.example:port", "cannot be read"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			_, err := client.New(client.Options{BaseURL: test.url, Token: client.StaticToken(token)})
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
	if _, err := client.New(client.Options{BaseURL: "https://api.example"}); err == nil {
		t.Error("a client without a source of tokens was made")
	}
}

func TestRequest(t *testing.T) {
	t.Parallel()
	type request struct{ method, url, auth, agent, contentType, extra, body string }
	for _, test := range []struct {
		name string
		base string
		call func(context.Context, *client.Client) error
		want request
	}{
		{"a path before /v1 is kept", "https://api.example/hooks/", get, request{"GET", "https://api.example/hooks/v1/webhooks/wh_1", "Bearer " + token, "bbmcp-client-go", "", "", ""}},
		{"an id cannot leave its place", "", func(ctx context.Context, c *client.Client) error {
			_, err := c.GetDelivery(ctx, "../webhooks?x=y")
			return err
		}, request{"GET", "https://api.example/v1/deliveries/..%2Fwebhooks%3Fx=y", "Bearer " + token, "bbmcp-client-go", "", "", ""}},
		{"another namespace", "", func(ctx context.Context, c *client.Client) error {
			_, err := c.InNamespace("team b").ListDeliveries(ctx, "wh_1", "failed", client.Page{Limit: 5, Cursor: "a+b"})
			return err
		}, request{"GET", "https://api.example/v1/webhooks/wh_1/deliveries?cursor=a%2Bb&limit=5&namespace=team+b&status=failed", "Bearer " + token, "bbmcp-client-go", "", "", ""}},
		{"an update of one version", "", func(ctx context.Context, c *client.Client) error {
			_, err := c.UpdateWebhook(ctx, "wh_1", `"7"`, rest.WebhookUpdate{Description: new("a & b")})
			return err
		}, request{"PUT", "https://api.example/v1/webhooks/wh_1", "Bearer " + token, "bbmcp-client-go", "application/json", `"7"`, `{"description":"a & b"}`}},
		{"an update that brings defaults back", "", func(ctx context.Context, c *client.Client) error {
			change := rest.WebhookUpdate{Defaults: []string{"overflow", "retry_policy.delays", "retention.failed"}}
			change.RetryPolicy = &rest.RetryPolicyChange{Timeout: new("5s")}
			_, err := c.UpdateWebhook(ctx, "wh_1", "", change)
			return err
		}, request{
			"PUT", "https://api.example/v1/webhooks/wh_1", "Bearer " + token, "bbmcp-client-go", "application/json", "",
			`{"overflow":null,"retention":{"failed":null},"retry_policy":{"delays":null,"timeout":"5s"}}`,
		}},
		{"data keeps its spelling", "", func(ctx context.Context, c *client.Client) error {
			_, err := c.Publish(ctx, rest.EventPublish{Event: "a<b", Data: json.RawMessage(`{"b": 1.0,"a":"\u003c","a":2}`), ID: "x", Timestamp: "t"})
			return err
		}, request{"POST", "https://api.example/v1/events", "Bearer " + token, "bbmcp-client-go", "application/json", "", `{"event":"a<b","data":{"b": 1.0,"a":"\u003c","a":2},"timestamp":"t","id":"x"}`}},
		{"a CloudEvent", "", func(ctx context.Context, c *client.Client) error {
			_, err := c.PublishCloudEvent(ctx, json.RawMessage(`{"specversion":"1.0"}`))
			return err
		}, request{"POST", "https://api.example/v1/events", "Bearer " + token, "bbmcp-client-go", "application/cloudevents+json", "", `{"specversion":"1.0"}`}},
		{"a batch of CloudEvents", "", func(ctx context.Context, c *client.Client) error {
			_, err := c.PublishCloudEvents(ctx, []json.RawMessage{json.RawMessage(`{"a":"<"}`), json.RawMessage(`{}`)})
			return err
		}, request{"POST", "https://api.example/v1/events", "Bearer " + token, "bbmcp-client-go", "application/cloudevents-batch+json", "", `[{"a":"<"},{}]`}},
		{"no token to where none is needed", "", func(ctx context.Context, c *client.Client) error {
			_, err := c.InNamespace("a").OpenAPI(ctx)
			return err
		}, request{"GET", "https://api.example/openapi.json", "", "bbmcp-client-go", "", "", ""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got request
			c := newClient(t, func(r *http.Request) (*http.Response, error) {
				got = request{r.Method, r.URL.String(), r.Header.Get("Authorization"), r.Header.Get("User-Agent"), r.Header.Get("Content-Type"), r.Header.Get("If-Match"), ""}
				if r.Body != nil {
					body, err := io.ReadAll(r.Body)
					got.body = string(body)
					return answer(200, nil, `{}`), err
				}
				return answer(200, nil, `{}`), nil
			}, func(o *client.Options) {
				if test.base != "" {
					o.BaseURL = test.base
				}
			})
			if err := test.call(t.Context(), c); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(request{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNoRequestIsMadeForNonsense(t *testing.T) {
	t.Parallel()
	c := newClient(t, func(*http.Request) (*http.Response, error) {
		t.Error("a request was made")
		return answer(200, nil, `{}`), nil
	})
	for _, id := range []string{"", ".", ".."} {
		if _, err := c.GetWebhook(t.Context(), id); err == nil {
			t.Errorf("id %q: no error", id)
		}
		if err := c.DeleteWebhook(t.Context(), id); err == nil {
			t.Errorf("delete id %q: no error", id)
		}
	}
	// It would end the object and put members of its own into the event.
	_, err := c.Publish(t.Context(), rest.EventPublish{Event: "a", Data: json.RawMessage(`{},"id":"theirs"`)})
	if err == nil {
		t.Error("data that is not JSON: no error")
	}
}

// Package net/http alone would send the token on to another port of the host.
func TestTokenStaysWithItsHost(t *testing.T) {
	t.Parallel()
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("%s followed a redirect, with token: %t", r.Method, r.Header.Get("Authorization") != "")
	}))
	defer other.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+r.URL.Path+"?secret=x", status)
		}))
		c, err := client.New(client.Options{BaseURL: api.URL, Token: client.StaticToken(token), HTTPClient: api.Client()})
		if err != nil {
			t.Fatal(err)
		}
		err = get(t.Context(), c)
		if client.StatusOf(err) != status || !strings.Contains(err.Error(), other.URL) || strings.Contains(err.Error(), "secret=x") {
			t.Errorf("%d: got %v", status, err)
		}
		_, err = c.Publish(t.Context(), rest.EventPublish{Event: "a", Data: json.RawMessage(`{}`)})
		if client.StatusOf(err) != status {
			t.Errorf("%d: publish: got %v", status, err)
		}
		if api.Client().CheckRedirect != nil {
			t.Error("the caller's HTTP client was changed")
		}
		api.Close()
	}
}

func TestErrors(t *testing.T) {
	t.Parallel()
	problem := http.Header{"Content-Type": {"application/problem+json"}, "Retry-After": {"9"}}
	for _, test := range []struct {
		name   string
		answer *http.Response
		status int
		want   string
	}{
		{"a problem with its fields", answer(422, problem, `{"title":"Unprocessable Entity","status":422,"detail":"url: use https","reason":"FieldInvalid","errors":[{"field":"url","detail":"use https"},{"field":"events","detail":"is empty"}]}`),
			422, "GET /v1/webhooks/wh_1: 422 Unprocessable Entity: url: use https; events: is empty"},
		{"a page of a proxy", answer(502, http.Header{"Content-Type": {"text/html"}}, "<h1>Bad Gateway</h1>"), 502, "no problem document"},
		{"a problem that is none", answer(403, problem, `<`), 403, "no problem document"},
		{"an answer that is no JSON", answer(200, nil, `<html>`), 0, "cannot be read"},
		{"an answer that says so", answer(200, http.Header{"Content-Type": {"text/html"}}, `<html>`), 0, `"text/html", not JSON`},
		{"an answer of another shape", answer(200, nil, `{"name":5}`), 0, "cannot be read"},
		{"an endless answer", answer(200, nil, `"`+strings.Repeat("a", 17<<20)), 0, "longer than"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, func(*http.Request) (*http.Response, error) { return test.answer, nil },
				func(o *client.Options) { o.Repeats = -1 })
			err := get(t.Context(), c)
			if err == nil || client.StatusOf(err) != test.status || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want status %d and %q", err, test.status, test.want)
			}
			if strings.Contains(fmt.Sprintf("%+v %#v", err, c), token) {
				t.Error("the token shows")
			}
			if e, ok := errors.AsType[*client.Error](err); ok && test.status == 422 {
				if e.Problem.Reason != "FieldInvalid" || e.RetryAfter != 9*time.Second {
					t.Errorf("got %+v", e)
				}
			}
		})
	}
}

func TestTokenSources(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "token")
	source := client.TokenFile(file)
	if _, err := source(t.Context()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is missing: got %v", err)
	}
	for _, test := range []struct{ content, want, problem string }{
		{"first\n", "first", ""},
		{"other\n", "other", ""}, // the same length, within the same moment
		{" \n", "", "empty"},
		{"two lines\nhere", "", "character"},
		{"nul\x00", "", "character"},
	} {
		if err := os.WriteFile(file, []byte(test.content), 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := source(t.Context())
		if got != test.want || (err == nil) != (test.problem == "") || err != nil && !strings.Contains(err.Error(), test.problem) {
			t.Errorf("%q: got %q, %v", test.content, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "lines") {
			t.Errorf("the error shows the file: %v", err)
		}
	}
	if _, err := client.StaticToken("")(t.Context()); !errors.Is(err, client.ErrNoToken) {
		t.Errorf("an empty token: got %v", err)
	}
}

func TestTokenFromEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("from-file"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ key, file, want string }{
		{"from-key", file, "from-key"}, {"", file, "from-file"}, {"", "", ""},
	} {
		t.Setenv(client.EnvToken, test.key)
		t.Setenv(client.EnvTokenFile, test.file)
		got, err := client.TokenFromEnvironment()(t.Context())
		if got != test.want || errors.Is(err, client.ErrNoToken) != (test.want == "") {
			t.Errorf("%+v: got %q, %v", test, got, err)
		}
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	requests := 0
	c := newClient(t, func(r *http.Request) (*http.Response, error) {
		requests++
		body := map[string]string{
			"":  `{"data":[{"name":"a"},{"name":"b"}],"next_cursor":"2"}`,
			"2": `{"data":[{"name":"c"}],"next_cursor":"3"}`,
			"3": `{"data":[],"next_cursor":null}`,
			"4": `{"data":[],"next_cursor":"4"}`,
		}[r.URL.Query().Get("cursor")]
		if r.URL.Query().Get("limit") != "100" {
			t.Errorf("asked for %s", r.URL)
		}
		return answer(200, nil, body), nil
	})
	var names []string
	for webhook, err := range c.Webhooks(t.Context()) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, webhook.Name)
	}
	if diff := cmp.Diff([]string{"a", "b", "c"}, names); diff != "" || requests != 3 {
		t.Errorf("%d requests: %s", requests, diff)
	}
	requests = 0
	for range c.Webhooks(t.Context()) {
		break
	}
	if requests != 1 {
		t.Errorf("stopping at the first entry took %d requests", requests)
	}
}

func TestPagesEndAtAnError(t *testing.T) {
	t.Parallel()
	for name, second := range map[string]string{
		"a page that fails":             "",
		"a page that names itself next": `{"data":[],"next_cursor":"2"}`,
	} {
		c := newClient(t, func(r *http.Request) (*http.Response, error) {
			if r.URL.Query().Get("cursor") == "" {
				return answer(200, nil, `{"data":[{"delivery_id":"a"}],"next_cursor":"2"}`), nil
			}
			if second == "" {
				return answer(404, nil, `{}`), nil
			}
			return answer(200, nil, second), nil
		})
		entries, failures := 0, 0
		for _, err := range c.Deliveries(t.Context(), "wh_1", "") {
			if err == nil {
				entries++
				continue
			}
			failures++
			if failures > 1 {
				break
			}
		}
		if entries != 1 || failures != 1 {
			t.Errorf("%s: %d entries, %d failures", name, entries, failures)
		}
	}
}

func TestGeneratedEventIDs(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	c := newClient(t, func(r *http.Request) (*http.Response, error) {
		var event rest.EventPublish
		if err := json.NewDecoder(r.Body).Decode(&event); err != nil {
			return nil, err
		}
		text, ok := strings.CutPrefix(event.ID, "evt_")
		id, err := ulid.ParseStrict(text)
		if !ok || err != nil || time.Since(ulid.Time(id.Time())).Abs() > time.Minute || seen[event.ID] {
			t.Errorf("id %q: %v, at %s", event.ID, err, ulid.Time(id.Time()))
		}
		seen[event.ID] = true
		return answer(202, nil, `{}`), nil
	})
	for range 100 {
		if _, err := c.Publish(t.Context(), rest.EventPublish{Event: "a", Data: json.RawMessage(`{}`)}); err != nil {
			t.Fatal(err)
		}
	}
}
