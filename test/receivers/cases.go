// SPDX-License-Identifier: Apache-2.0

package receivers

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Result is what became of one case.
type Result struct {
	Name string
	Err  error
}

// kinds of answers, beside single statuses.
const accepted = 0 // any 2xx

type post struct {
	id        string
	body      string
	signature string // as it is sent; "": the header is missing
	want      int
}

type checker struct {
	receiver *Receiver
	client   *http.Client
	accepted []string // ids of events that must be processed, once each
}

// Check posts to a receiver what is right and what is wrong. A case that fails
// does not stop the others.
func Check(ctx context.Context, r *Receiver) []Result {
	c := &checker{receiver: r, client: &http.Client{Timeout: 10 * time.Second}}
	defer c.client.CloseIdleConnections()
	var results []Result
	for _, each := range cases() {
		results = append(results, Result{each.name, each.run(ctx, c)})
	}
	return append(results, Result{"each event is processed once, and no refused one", r.await(ctx, c.accepted, waitProcessed)})
}

type testCase struct {
	name string
	run  func(context.Context, *checker) error
}

func cases() []testCase {
	body := event("context.created", `{"context_id":"ctx_1","name":"Zürich"}`)
	return []testCase{
		one("a signed event is accepted", post{id: "evt_signed", body: body, signature: sign(body)}),
		one("a tampered body is refused", post{
			id: "evt_tampered", body: strings.Replace(body, "ctx_1", "ctx_2", 1), signature: sign(body), want: http.StatusUnauthorized,
		}),
		one("another secret is refused", post{id: "evt_stranger", body: body, signature: signWith("whsec_x", body), want: http.StatusUnauthorized}),
		one("a missing signature is refused", post{id: "evt_missing", body: body, want: http.StatusUnauthorized}),
		one("half a signature is refused", post{id: "evt_half", body: body, signature: sign(body)[:32], want: http.StatusUnauthorized}),
		one("a signature and more is refused", post{id: "evt_more", body: body, signature: sign(body) + "00", want: http.StatusUnauthorized}),
		one("a signature that is no text is refused", post{id: "evt_noise", body: body, signature: strings.Repeat("\xe9", 64), want: http.StatusUnauthorized}),
		one("no body is refused", post{id: "evt_empty", signature: sign(body), want: http.StatusUnauthorized}),
		{"a repeated event is accepted again", repeated},
		{"an event that comes many times at once is accepted each time", atOnce},
		one("the signature is checked over the bytes that came", bytesThatCame()),
		one("a body of 256 KiB is accepted", large("evt_large", 256<<10, accepted)),
		one("a body of 1 MiB is refused", large("evt_too_large", 1<<20, http.StatusRequestEntityTooLarge)),
		one("after all that it still answers", post{id: "evt_last", body: body, signature: sign(body)}),
		{"a GET is refused", get},
	}
}

func one(name string, p post) testCase {
	return testCase{name, func(ctx context.Context, c *checker) error { return c.post(ctx, p) }}
}

// repeated posts an event of which the second attempt looks as the product's
// does: the id is the same.
func repeated(ctx context.Context, c *checker) error {
	body := event("context.confirmed", `{}`)
	p := post{id: "evt_repeated", body: body, signature: sign(body)}
	return errors.Join(c.post(ctx, p), c.post(ctx, p))
}

func atOnce(ctx context.Context, c *checker) error {
	body := event("context.confirmed", `{}`)
	p := post{id: "evt_at_once", body: body, signature: sign(body)}
	errs := make([]error, 20)
	var posts sync.WaitGroup
	for i := range errs {
		posts.Go(func() { errs[i] = c.send(ctx, p) })
	}
	posts.Wait()
	c.accepted = append(c.accepted, p.id)
	return errors.Join(errs...)
}

// bytesThatCame would be spelled otherwise by a JSON parser and writer.
func bytesThatCame() post {
	body := "{ \"event\" : \"a.b\",\n\"data\": {\"n\": 1.0, \"s\": \"\\u00e9\\/\"} }\r\n"
	return post{id: "evt_bytes", body: body, signature: sign(body)}
}

func large(id string, size, want int) post {
	frame := event("context.created", `{"filler":""}`)
	body := event("context.created", `{"filler":"`+strings.Repeat("x", size-len(frame))+`"}`)
	return post{id: id, body: body, signature: sign(body), want: want}
}

func get(ctx context.Context, c *checker) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.receiver.URL, nil)
	if err != nil {
		return err
	}
	answer, err := c.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusNotFound && answer.StatusCode != http.StatusMethodNotAllowed {
		return fmt.Errorf("answered %s", answer.Status)
	}
	return nil
}

// post sends one event and remembers it if it is to be processed.
func (c *checker) post(ctx context.Context, p post) error {
	if p.want == accepted && (len(c.accepted) == 0 || c.accepted[len(c.accepted)-1] != p.id) {
		c.accepted = append(c.accepted, p.id)
	}
	return c.send(ctx, p)
}

func (c *checker) send(ctx context.Context, p post) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.receiver.URL, bytes.NewReader([]byte(p.body)))
	if err != nil {
		return err
	}
	for name, value := range map[string]string{
		"Content-Type": "application/json", "User-Agent": "BBMCP-Webhooks/test", "X-BBMCP-Event": "context.created",
		"X-BBMCP-Delivery": "dlv_1", "X-BBMCP-Attempt": "1", "webhook-id": p.id,
	} {
		request.Header.Set(name, value)
	}
	if p.signature != "" {
		request.Header.Set("X-BBMCP-Signature", p.signature)
	}
	answer, err := c.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
	if err != nil {
		return err
	}
	got := answer.StatusCode
	if p.want == accepted && got >= 200 && got <= 299 || got == p.want {
		return noStackTrace(text)
	}
	return fmt.Errorf("answered %s to %s", answer.Status, p.id)
}

// noStackTrace complains about answers that show the receiver's insides.
func noStackTrace(answer []byte) error {
	if len(answer) > 300 || bytes.Contains(answer, []byte("node_modules")) || bytes.Contains(answer, []byte("Traceback")) {
		return fmt.Errorf("the answer tells too much: %.100q", answer)
	}
	return nil
}

func event(kind, data string) string {
	return `{"event":"` + kind + `","timestamp":"2024-01-15T10:30:00Z","data":` + data + `}`
}

func sign(body string) string { return signWith(secret, body) }

func signWith(key, body string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(body))
	return hex.EncodeToString(mac.Sum(nil))
}
