// SPDX-License-Identifier: Apache-2.0

package receivers

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
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
	timestamp string // as it is sent and signed; "": now
	signature string // as it is sent; "": the right one
	legacy    bool   // X-BBMCP-Signature alone
	want      int
}

// none is what stands for a header that is missing.
const none = "-"

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
	body, now := event("context.created", `{"context_id":"ctx_1","name":"Zürich"}`), after(0)
	return []testCase{
		one("a signed event is accepted", post{id: "evt_signed", body: body}),
		refused("a tampered body is refused", post{
			id: "evt_tampered", body: strings.Replace(body, "ctx_1", "ctx_2", 1), timestamp: now, signature: sign("evt_tampered", now, body),
		}),
		refused("another id is refused", post{id: "evt_renamed", body: body, timestamp: now, signature: sign("evt_signed", now, body)}),
		refused("another time is refused", post{id: "evt_redated", body: body, timestamp: now, signature: sign("evt_redated", after(-time.Second), body)}),
		refused("another secret is refused", post{id: "evt_stranger", body: body, timestamp: now, signature: signWith([]byte("x"), "evt_stranger", now, body)}),
		refused("the secret as it is spelled is another", post{id: "evt_spelled", body: body, timestamp: now, signature: signWith([]byte(secret), "evt_spelled", now, body)}),
		refused("a missing signature is refused", post{id: "evt_missing", body: body, signature: none}),
		refused("the signature of the body alone is not enough", post{id: "evt_legacy", body: body, signature: none, legacy: true}),
		refused("half a signature is refused", post{id: "evt_half", body: body, timestamp: now, signature: sign("evt_half", now, body)[:24]}),
		refused("a signature and more is refused", post{id: "evt_more", body: body, timestamp: now, signature: sign("evt_more", now, body) + "AA=="}),
		refused("another version is refused", post{id: "evt_version", body: body, timestamp: now, signature: strings.Replace(sign("evt_version", now, body), "v1,", "v2,", 1)}),
		refused("a signature that is no text is refused", post{id: "evt_noise", body: body, signature: strings.Repeat("\xe9", 64)}),
		refused("no body is refused", post{id: "evt_empty", timestamp: now, signature: sign("evt_empty", now, body)}),
		refused("what was signed six minutes ago is refused", post{id: "evt_replayed", body: body, timestamp: after(-6 * time.Minute)}),
		refused("what was signed in six minutes is refused", post{id: "evt_early", body: body, timestamp: after(6 * time.Minute)}),
		refused("a missing time is refused", post{id: "evt_timeless", body: body, timestamp: none}),
		refused("a time that is no number is refused", post{id: "evt_spoken", body: body, timestamp: "yesterday"}),
		refused("a time beyond all numbers is refused", post{id: "evt_endless", body: body, timestamp: strings.Repeat("9", 400)}),
		one("what was signed four minutes ago is accepted", post{id: "evt_slow", body: body, timestamp: after(-4 * time.Minute)}),
		one("one right signature of two is enough", post{
			id: "evt_rotated", body: body, timestamp: now, signature: signWith([]byte("x"), "evt_rotated", now, body) + " " + sign("evt_rotated", now, body),
		}),
		{"a repeated event is accepted again", repeated},
		{"an event that comes many times at once is accepted each time", atOnce},
		one("the signature is checked over the bytes that came", bytesThatCame()),
		one("a body of 256 KiB is accepted", large("evt_large", 256<<10, accepted)),
		one("a body of 1 MiB is refused", large("evt_too_large", 1<<20, http.StatusRequestEntityTooLarge)),
		one("after all that it still answers", post{id: "evt_last", body: body}),
		{"a GET is refused", get},
	}
}

// refused is a case in which the signature does not hold.
func refused(name string, p post) testCase {
	p.want = http.StatusUnauthorized
	return one(name, p)
}

// after is the time of a signature that is made so much later than now.
func after(d time.Duration) string { return strconv.FormatInt(time.Now().Add(d).Unix(), 10) }

func one(name string, p post) testCase {
	return testCase{name, func(ctx context.Context, c *checker) error { return c.post(ctx, p) }}
}

// repeated posts an event of which the second attempt looks as the product's
// does: the id is the same.
func repeated(ctx context.Context, c *checker) error {
	body := event("context.confirmed", `{}`)
	p := post{id: "evt_repeated", body: body}
	return errors.Join(c.post(ctx, p), c.post(ctx, p))
}

func atOnce(ctx context.Context, c *checker) error {
	body := event("context.confirmed", `{}`)
	p := post{id: "evt_at_once", body: body}
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
	return post{id: "evt_bytes", body: body}
}

func large(id string, size, want int) post {
	frame := event("context.created", `{"filler":""}`)
	body := event("context.created", `{"filler":"`+strings.Repeat("x", size-len(frame))+`"}`)
	return post{id: id, body: body, want: want}
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
	timestamp := cmp.Or(p.timestamp, after(0))
	for name, value := range map[string]string{
		"webhook-timestamp": timestamp, "webhook-signature": cmp.Or(p.signature, sign(p.id, timestamp, p.body)),
	} {
		if value != none {
			request.Header.Set(name, value)
		}
	}
	if p.legacy {
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(p.body))
		request.Header.Set("X-BBMCP-Signature", hex.EncodeToString(mac.Sum(nil)))
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

// sign signs as Standard Webhooks says.
func sign(id, timestamp, body string) string {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		panic(err) // it is a constant
	}
	return signWith(key, id, timestamp, body)
}

func signWith(key []byte, id, timestamp, body string) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
