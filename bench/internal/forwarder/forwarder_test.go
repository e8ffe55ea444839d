// SPDX-License-Identifier: Apache-2.0

package forwarder

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

func TestForwarderSignsAndWaitsForEveryTarget(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	verifier, err := standardwebhooks.NewWebhookRaw(key)
	if err != nil {
		t.Fatal(err)
	}
	received := make(chan string, 2)
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if err := verifier.Verify(body, r.Header); err != nil {
			t.Errorf("%s: %v", r.URL.Path, err)
		}
		if r.URL.Path == "/bad" {
			w.WriteHeader(http.StatusInternalServerError)
		}
		received <- string(body)
	}))
	defer endpoint.Close()
	for _, c := range []struct {
		name   string
		second string
		want   int
	}{
		{"both answer 200", "/good", http.StatusAccepted},
		{"one answers 500", "/bad", http.StatusBadGateway},
	} {
		recorder := httptest.NewRecorder()
		request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(`{"a":1}`))
		New(key, endpoint.URL+"/first", endpoint.URL+c.second).ServeHTTP(recorder, request)
		if recorder.Code != c.want {
			t.Errorf("%s: answered %d, want %d", c.name, recorder.Code, c.want)
		}
		for range 2 {
			select {
			case body := <-received:
				if body != `{"a":1}` {
					t.Errorf("%s: the endpoint got %q", c.name, body)
				}
			case <-time.After(5 * time.Second):
				t.Fatalf("%s: an endpoint got nothing", c.name)
			}
		}
	}
}
