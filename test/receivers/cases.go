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

type casePost struct {
	id        string
	body      string
	timestamp string // as it is sent and signed; "": now
	signature string // as it is sent; "": the right one
	legacy    bool   // X-BBMCP-Signature alone
	want      int
}

// none is what stands for a header that is missing.
const none = "-"

type caseChecker struct {
	receiver *ExampleReceiver
	client   *http.Client
	accepted []string // ids of events that must be processed, once each
}

// Check posts to a receiver what is right and what is wrong. A case that fails
// does not stop the others.
func Check(ctx context.Context, r *ExampleReceiver) []Result {
	c := &caseChecker{receiver: r, client: &http.Client{Timeout: 10 * time.Second}}
	defer c.client.CloseIdleConnections()
	var results []Result
	for _, each := range cases() {
		results = append(results, Result{each.name, each.run(ctx, c)})
	}
	return append(results, Result{"each event is processed once, and no refused one", r.await(ctx, c.accepted, waitProcessed)})
}

type testCase struct {
	name string
	run  func(context.Context, *caseChecker) error
}

func cases() []testCase {
	body, now := caseEvent("context.created", `{"context_id":"ctx_1","name":"Zürich"}`), caseTimestamp(0)
	return []testCase{
		singleCase("a signed event is accepted", casePost{id: "evt_signed", body: body}),
		refusedCase("a tampered body is refused", casePost{
			id: "evt_tampered", body: strings.Replace(body, "ctx_1", "ctx_2", 1), timestamp: now, signature: signCase("evt_tampered", now, body),
		}),
		refusedCase("another id is refused", casePost{id: "evt_renamed", body: body, timestamp: now, signature: signCase("evt_signed", now, body)}),
		refusedCase("another time is refused", casePost{id: "evt_redated", body: body, timestamp: now, signature: signCase("evt_redated", caseTimestamp(-time.Second), body)}),
		refusedCase("another secret is refused", casePost{id: "evt_stranger", body: body, timestamp: now, signature: signCaseWith([]byte("x"), "evt_stranger", now, body)}),
		refusedCase("the secret as it is spelled is another", casePost{id: "evt_spelled", body: body, timestamp: now, signature: signCaseWith([]byte(secret), "evt_spelled", now, body)}),
		refusedCase("a missing signature is refused", casePost{id: "evt_missing", body: body, signature: none}),
		refusedCase("the signature of the body alone is not enough", casePost{id: "evt_legacy", body: body, signature: none, legacy: true}),
		refusedCase("half a signature is refused", casePost{id: "evt_half", body: body, timestamp: now, signature: signCase("evt_half", now, body)[:24]}),
		refusedCase("a signature and more is refused", casePost{id: "evt_more", body: body, timestamp: now, signature: signCase("evt_more", now, body) + "AA=="}),
		refusedCase("another version is refused", casePost{id: "evt_version", body: body, timestamp: now, signature: strings.Replace(signCase("evt_version", now, body), "v1,", "v2,", 1)}),
		refusedCase("a signature that is no text is refused", casePost{id: "evt_noise", body: body, signature: strings.Repeat("\xe9", 64)}),
		refusedCase("no body is refused", casePost{id: "evt_empty", timestamp: now, signature: signCase("evt_empty", now, body)}),
		refusedCase("what was signed six minutes ago is refused", casePost{id: "evt_replayed", body: body, timestamp: caseTimestamp(-6 * time.Minute)}),
		refusedCase("what was signed in six minutes is refused", casePost{id: "evt_early", body: body, timestamp: caseTimestamp(6 * time.Minute)}),
		refusedCase("a missing time is refused", casePost{id: "evt_timeless", body: body, timestamp: none}),
		refusedCase("a time that is no number is refused", casePost{id: "evt_spoken", body: body, timestamp: "yesterday"}),
		refusedCase("a time beyond all numbers is refused", casePost{id: "evt_endless", body: body, timestamp: strings.Repeat("9", 400)}),
		singleCase("what was signed four minutes ago is accepted", casePost{id: "evt_slow", body: body, timestamp: caseTimestamp(-4 * time.Minute)}),
		singleCase("one right signature of two is enough", casePost{
			id: "evt_rotated", body: body, timestamp: now, signature: signCaseWith([]byte("x"), "evt_rotated", now, body) + " " + signCase("evt_rotated", now, body),
		}),
		{"a repeated event is accepted again", repeatedCase},
		{"an event that comes many times at once is accepted each time", concurrentCase},
		singleCase("the signature is checked over the bytes that came", bytesCasePost()),
		singleCase("a body of 256 KiB is accepted", largeCasePost("evt_large", 256<<10, accepted)),
		singleCase("a body of 1 MiB is refused", largeCasePost("evt_too_large", 1<<20, http.StatusRequestEntityTooLarge)),
		singleCase("after all that it still answers", casePost{id: "evt_last", body: body}),
		{"a GET is refused", getCase},
	}
}

// refusedCase is a case in which the signature does not hold.
func refusedCase(name string, p casePost) testCase {
	p.want = http.StatusUnauthorized
	return singleCase(name, p)
}

// caseTimestamp is the time of a signature that is made so much later than now.
func caseTimestamp(d time.Duration) string { return strconv.FormatInt(time.Now().Add(d).Unix(), 10) }

func singleCase(name string, p casePost) testCase {
	return testCase{name, func(ctx context.Context, c *caseChecker) error { return c.post(ctx, p) }}
}

// repeatedCase posts an event of which the second attempt looks as the product's
// does: the id is the same.
func repeatedCase(ctx context.Context, c *caseChecker) error {
	body := caseEvent("context.confirmed", `{}`)
	p := casePost{id: "evt_repeated", body: body}
	return errors.Join(c.post(ctx, p), c.post(ctx, p))
}

func concurrentCase(ctx context.Context, c *caseChecker) error {
	body := caseEvent("context.confirmed", `{}`)
	p := casePost{id: "evt_at_once", body: body}
	errs := make([]error, 20)
	var posts sync.WaitGroup
	for i := range errs {
		posts.Go(func() { errs[i] = c.send(ctx, p) })
	}
	posts.Wait()
	c.accepted = append(c.accepted, p.id)
	return errors.Join(errs...)
}

// bytesCasePost would be spelled otherwise by a JSON parser and writer.
func bytesCasePost() casePost {
	body := "{ \"event\" : \"a.b\",\n\"data\": {\"n\": 1.0, \"s\": \"\\u00e9\\/\"} }\r\n"
	return casePost{id: "evt_bytes", body: body}
}

func largeCasePost(id string, size, want int) casePost {
	frame := caseEvent("context.created", `{"filler":""}`)
	body := caseEvent("context.created", `{"filler":"`+strings.Repeat("x", size-len(frame))+`"}`)
	return casePost{id: id, body: body, want: want}
}

func getCase(ctx context.Context, c *caseChecker) error {
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
func (c *caseChecker) post(ctx context.Context, p casePost) error {
	if p.want == accepted && (len(c.accepted) == 0 || c.accepted[len(c.accepted)-1] != p.id) {
		c.accepted = append(c.accepted, p.id)
	}
	return c.send(ctx, p)
}

func (c *caseChecker) send(ctx context.Context, p casePost) error {
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
	timestamp := cmp.Or(p.timestamp, caseTimestamp(0))
	for name, value := range map[string]string{
		"webhook-timestamp": timestamp, "webhook-signature": cmp.Or(p.signature, signCase(p.id, timestamp, p.body)),
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

func caseEvent(kind, data string) string {
	return `{"event":"` + kind + `","timestamp":"2024-01-15T10:30:00Z","data":` + data + `}`
}

// signCase signs as Standard Webhooks says.
func signCase(id, timestamp, body string) string {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		panic(err) // it is a constant
	}
	return signCaseWith(key, id, timestamp, body)
}

func signCaseWith(key []byte, id, timestamp, body string) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", id, timestamp, body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
