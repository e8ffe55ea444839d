// SPDX-License-Identifier: Apache-2.0

package receiver_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

const secret = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

func start(t *testing.T) *receiver.Receiver {
	t.Helper()
	r, err := receiver.Start(receiver.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	if err := r.Secrets("", secret); err != nil {
		t.Fatal(err)
	}
	return r
}

// send posts as the dispatcher does; spoil may change the request.
func send(t *testing.T, url, delivery string, attempt int, spoil func(http.Header)) (int, error) {
	t.Helper()
	body := `{"a":1}`
	signed, err := signature.Keys{Primary: signature.NewSecret(secret)}.Sign("evt_1", time.Now(), []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("webhook-id", "evt_1")
	request.Header.Set("webhook-timestamp", signed.WebhookTimestamp)
	request.Header.Set("webhook-signature", signed.WebhookSignature)
	request.Header.Set("X-BBMCP-Signature", signed.Signature)
	request.Header.Set("X-BBMCP-Delivery", delivery)
	request.Header.Set("X-BBMCP-Attempt", fmt.Sprint(attempt))
	if spoil != nil {
		spoil(request.Header)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close() // read to its end
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}

func TestScriptsAreFollowedStepByStep(t *testing.T) {
	t.Parallel()
	r := start(t)
	for path, text := range map[string]string{"/a": "500 x2, 429 retry-after=3, 204", "/b": "verify", "": "404"} {
		steps, err := receiver.ParseScript(text)
		if err != nil {
			t.Fatal(err)
		}
		r.Script(path, steps...)
	}
	var got []int
	for i, path := range []string{"/a", "/a", "/a", "/a", "/a", "/b", "/other"} {
		status, err := send(t, r.URL(path), "dlv_1", i, nil)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, status)
	}
	status, _ := send(t, r.URL("/b"), "dlv_1", 9, func(h http.Header) { h.Set("X-BBMCP-Signature", strings.Repeat("0", 64)) })
	got = append(got, status)
	if want := []int{500, 500, 429, 204, 204, 200, 404, 401}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestCountsTellDuplicatesFromRetries(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.Script("/", receiver.Step{Status: 500}, receiver.Step{})
	for _, one := range []struct {
		delivery string
		attempt  int
	}{{"dlv_1", 1}, {"dlv_1", 2}, {"dlv_1", 2}, {"dlv_2", 1}, {"dlv_1", 3}} {
		if _, err := send(t, r.URL("/"), one.delivery, one.attempt, nil); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = send(t, r.URL("/"), "dlv_3", 1, func(h http.Header) { h.Set("webhook-timestamp", "1") })
	want := receiver.Counts{Posts: 6, Verified: 5, Unique: 3, Accepted: 3, Duplicates: 2, Repeated: 1}
	if got := r.Counts("/"); got != want || r.Counts("") != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	r.Forget()
	if got := r.Counts(""); got != (receiver.Counts{}) {
		t.Errorf("forgotten, but %+v", got)
	}
}

func TestVerificationKnowsWhatIsWrong(t *testing.T) {
	t.Parallel()
	r := start(t)
	for name, spoil := range map[string]func(http.Header){
		"/ours":     func(h http.Header) { h.Set("X-BBMCP-Signature", strings.ToUpper(h.Get("X-BBMCP-Signature"))) },
		"/standard": func(h http.Header) { h.Set("webhook-signature", "v1,AAAA") },
		"/id":       func(h http.Header) { h.Set("webhook-id", "evt_2") },
		"/good":     nil,
	} {
		if _, err := send(t, r.URL(name), "dlv_1", 1, spoil); err != nil {
			t.Fatal(err)
		}
	}
	got := map[string][2]bool{}
	for _, one := range r.Received("") {
		got[one.Path] = [2]bool{one.Ours, one.Standard}
	}
	want := map[string][2]bool{"/ours": {false, true}, "/standard": {true, false}, "/id": {true, false}, "/good": {true, true}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if err := r.Secrets("/", ""); err == nil {
		t.Error("an empty secret is taken")
	}
}

func TestFaultsBreakTheAnswer(t *testing.T) {
	t.Parallel()
	r := start(t)
	for _, fault := range []receiver.Fault{receiver.ResetBeforeAnswer, receiver.ResetInHeaders, receiver.ResetInBody, receiver.NotHTTP} {
		r.Script("/"+string(fault), receiver.Step{Fault: fault})
		if status, err := send(t, r.URL("/"+string(fault)), "dlv_1", 1, nil); err == nil {
			t.Errorf("%s: answered %d", fault, status)
		}
	}
	if got := r.Counts("").Posts; got != 4 {
		t.Errorf("%d posts", got)
	}
}

func TestParseScriptRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "200,", "ok", "99", "1000", "200 often", "500 xmany", "200 after=soon", "hang status=x"} {
		if steps, err := receiver.ParseScript(text); err == nil {
			t.Errorf("%q: %+v", text, steps)
		}
	}
	got, err := receiver.ParseScript("slow-body every=1s status=500 x3, 200 after=2s body=ok location=/x")
	want := []receiver.Step{
		{Fault: receiver.SlowBody, Every: time.Second, Status: 500, Times: 3},
		{Status: 200, Delay: 2 * time.Second, Body: "ok", Header: map[string]string{"Location": "/x"}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestControlAPI(t *testing.T) {
	t.Parallel()
	r := start(t)
	do := func(method, path, body string) (int, string) {
		request, err := http.NewRequestWithContext(t.Context(), method, r.URL(path), strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close() // read to its end
		content, _ := io.ReadAll(response.Body)
		return response.StatusCode, string(content)
	}
	for _, call := range [][4]string{
		{"PUT", "/_script?path=/x", "500 x1, 200", "204"}, {"PUT", "/_script?path=/x", "nonsense", "400"},
		{"PUT", "/_secrets?path=/x", secret + "\n", "204"}, {"PUT", "/_secrets?path=/x", "", "400"},
	} {
		if status, said := do(call[0], call[1], call[2]); fmt.Sprint(status) != call[3] {
			t.Errorf("%v: %d %s", call, status, said)
		}
	}
	_, _ = send(t, r.URL("/x"), "dlv_1", 1, nil)
	_, _ = send(t, r.URL("/x"), "dlv_1", 2, nil)
	_, said := do("GET", "/_received?path=/x", "")
	var got struct {
		Total receiver.Counts
		Paths map[string]receiver.Counts
		Posts []receiver.Received
	}
	if err := json.Unmarshal([]byte(said), &got); err != nil {
		t.Fatal(err)
	}
	want := receiver.Counts{Posts: 2, Verified: 2, Unique: 1, Accepted: 1}
	if got.Total != want || !reflect.DeepEqual(got.Paths, map[string]receiver.Counts{"/x": want}) || len(got.Posts) != 2 || got.Posts[0].Status != 500 {
		t.Errorf("got %s", said)
	}
	if status, _ := do("DELETE", "/_received", ""); status != http.StatusNoContent || r.Counts("").Posts != 0 {
		t.Errorf("forget: %d, %+v", status, r.Counts(""))
	}
}

func TestWait(t *testing.T) {
	t.Parallel()
	r := start(t)
	var wg sync.WaitGroup
	for i := range 10 {
		wg.Go(func() { _, _ = send(t, r.URL("/"), fmt.Sprint("dlv_", i), 1, nil) })
	}
	if err := r.Wait(t.Context(), "/", func(c receiver.Counts) bool { return c.Unique == 10 }); err != nil {
		t.Error(err)
	}
	wg.Wait()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Wait(ended, "/", func(c receiver.Counts) bool { return c.Posts == 11 }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
