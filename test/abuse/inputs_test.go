// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/identity"
	"bbmcp.quietstack.com/webhooks/test/openapi"
	"bbmcp.quietstack.com/webhooks/test/procstat"
)

const (
	inputsSpace = "inputs"
	// inputsType takes all data, and computes with what is in it.
	inputsType   = "inputs.any"
	inputsSchema = `{"type":"object","additionalProperties":{"multipleOf":0.001,"uniqueItems":true,"maxLength":1000000,"propertyNames":{"maxLength":100},` +
		`"items":{"anyOf":[{"type":"integer","minimum":-1e300},{"pattern":"^(a?b?)*$"},true]}}}`
	// inputRounds is how often everything is sent, inputRest how long after a round
	// memory is looked at, and memoryMore by how many percent it may have grown.
	inputRounds = 3
	inputRest   = 10 * time.Second
	memoryMore  = 20
	// memoryUnit is what Go's heap grows by at a time: a fifth of a dispatcher is less.
	memoryUnit = 4 << 20
	// warmRounds is how often what is as it should be is sent before, the largest
	// requests among it: a process that has served nothing is no measure, and Go's
	// runtime keeps books of the largest heap there was.
	warmRounds = 20
	// inputWidth is how many requests are under way.
	inputWidth = 4
	// mostAnswer is how long an answer about what is wrong may be.
	mostAnswer = 16 << 10
)

// TestInputsAtTheirLimits sends requests to every operation of the OpenAPI document
// that the gateway serves, each with one number, string, depth or size at its limit
// or beyond it. No answer is a server's error but 503, no process ends, and what is
// resident goes back to what it was.
func TestInputsAtTheirLimits(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("measures processes in /proc")
	}
	ctx := t.Context()
	p, err := startProduct(ctx, productOptions{namespaces: []string{inputsSpace}, say: t.Logf})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.stop(); err != nil {
			t.Error(err)
		}
	})
	s := &sender{T: t, abusedProduct: p, client: &http.Client{Timeout: answerWithin, Transport: &http.Transport{MaxIdleConnsPerHost: inputWidth}}}
	s.prepare(ctx)
	inputs := s.document(ctx).inputs(s.known, inputsType)
	if len(inputs) < 500 {
		t.Fatalf("only %d inputs are made of the document", len(inputs))
	}
	s.send(ctx, []input{fullBatch()})
	for range warmRounds {
		s.send(ctx, plain(inputs))
	}
	p.settle(ctx)
	time.Sleep(inputRest) // what the start has left is given back
	before := s.resident()
	for round := range inputRounds {
		began := time.Now()
		s.send(ctx, inputs)
		took := time.Since(began)
		s.clear(ctx)
		time.Sleep(inputRest) // what is measured is what is left then
		after := s.resident()
		for name, bytes := range after {
			if bytes > before[name]+max(before[name]*memoryMore/100, memoryUnit) {
				t.Errorf("round %d: %s has %d MiB resident %s later, %d MiB before", round+1, name, bytes>>20, inputRest, before[name]>>20)
			}
		}
		t.Logf("round %d: %d inputs in %s; answers: %s; resident: %s, before: %s", round+1, len(inputs), took.Round(time.Millisecond), s.answers(), inMiB(after), inMiB(before))
	}
}

// sender sends inputs and judges the answers.
type sender struct {
	*testing.T
	*abusedProduct

	client   *http.Client
	token    string
	hook     string // the id of a webhook
	delivery string // and of a delivery
	promised *openapi.Validator
	statuses [600]atomic.Int64
}

// known are the parameters of an operation that stand for something: what is to be
// deleted does not exist, so that all else goes on.
func (s *sender) known(path, method string) map[string]string {
	id := s.hook
	switch {
	case method == "delete":
		id = "wh_0123456789abcdef"
	case strings.HasPrefix(path, "/v1/deliveries/"):
		id = s.delivery
	}
	return map[string]string{"id": id, "namespace": inputsSpace, "limit": "1", "status": "failed"}
}

// prepare makes a caller who may do everything, and a webhook that stays.
func (s *sender) prepare(ctx context.Context) {
	s.Helper()
	var err error
	if s.promised, err = openapi.Load("../../docs/reference/openapi.json"); err != nil {
		s.Fatal(err)
	}
	if s.token, err = s.stack.Token(ctx, inputsSpace, "caller", []string{"bbmcp-admin", "bbmcp-publisher"}); err != nil {
		s.Fatal(err)
	}
	eventType := &v1alpha1.EventType{ObjectMeta: metav1.ObjectMeta{Name: inputsType}, Spec: v1alpha1.EventTypeSpec{Schema: inputsSchema, Example: `{"a":[1,2,"ab"]}`}}
	if err := s.stack.Client.Create(ctx, eventType); err != nil {
		s.Fatal(err)
	}
	hook := newProductWebhook(inputsSpace, "orders", s.neighbour.endpoint.URL("/inputs"))
	if err := s.declare(ctx, hook); err != nil {
		s.Fatal(err)
	}
	s.hook = identity.WebhookID(inputsSpace, hook.Name)
	err = s.poll(ctx, "the gateway to know webhook and event type", func() (bool, error) {
		var sent struct {
			DeliveryID string `json:"delivery_id"`
		}
		response, text, err := s.ask(ctx, input{
			method: http.MethodPost, path: "/v1/webhooks/" + s.hook + "/test", header: map[string]string{"Content-Type": "application/json"}, body: `{"event":"` + inputsType + `"}`,
		})
		if err != nil || response.StatusCode != http.StatusAccepted {
			return false, err
		}
		err = json.Unmarshal([]byte(text), &sent)
		s.delivery = sent.DeliveryID
		return err == nil, err
	})
	if err != nil {
		s.Fatal(err)
	}
}

// plain are the inputs with nothing wrong in them.
func plain(inputs []input) []input {
	return slices.DeleteFunc(slices.Clone(inputs), func(in input) bool { return !strings.HasSuffix(in.what, ": "+nothingWrong) })
}

// fullBatch are as large events as there may be, and as many as one request may have.
func fullBatch() input {
	events := make([]string, 0, 31)
	for i := range cap(events) {
		events = append(events, fmt.Sprintf(`{"specversion":"1.0","id":"full-%d","source":"inputs","type":%q,"data":{"a":[1,2,"ab"],"text":%q}}`, i, inputsType, strings.Repeat("x", 255<<10)))
	}
	return input{
		what: "a full batch", method: http.MethodPost, path: "/v1/events?namespace=" + inputsSpace,
		header: map[string]string{"Content-Type": "application/cloudevents-batch+json"}, body: "[" + strings.Join(events, ",") + "]",
	}
}

// document is the one that the gateway serves.
func (s *sender) document(ctx context.Context) *openAPIDocument {
	s.Helper()
	_, text, err := s.ask(ctx, input{method: http.MethodGet, path: "/openapi.json"})
	var document openAPIDocument
	if err == nil {
		err = json.Unmarshal([]byte(text), &document)
	}
	if err != nil {
		s.Fatal(err)
	}
	return &document
}

// ask makes a request.
func (s *sender) ask(ctx context.Context, in input) (*http.Response, string, error) {
	request, err := http.NewRequestWithContext(ctx, in.method, s.gateway.URL+in.path, strings.NewReader(in.body))
	if err != nil {
		return nil, "", err
	}
	request.Header.Set("Authorization", "Bearer "+s.token)
	for name, value := range in.header {
		request.Header.Set(name, value)
	}
	response, err := s.client.Do(request)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response, string(text), err
}

// send sends all inputs and judges each answer.
func (s *sender) send(ctx context.Context, inputs []input) {
	s.Helper()
	err := inParallel(inputWidth, len(inputs), func(i int) error {
		in := inputs[i]
		response, text, err := s.ask(ctx, in)
		if err != nil {
			if !s.gateway.Process.Running() {
				return fmt.Errorf("%s ended the gateway: %w\n%s", in.what, err, s.gateway.Process.LogTail())
			}
			if len(in.body) < 1<<20 { // one that is refused for its length may find the connection closed
				s.Errorf("%s: no answer: %v", in.what, err)
			}
			return nil
		}
		s.statuses[response.StatusCode].Add(1)
		switch {
		case response.StatusCode == http.StatusServiceUnavailable && response.Header.Get("Retry-After") != "":
		case response.StatusCode >= http.StatusInternalServerError:
			s.Errorf("%s: %d %.300s", in.what, response.StatusCode, text)
		case response.StatusCode >= http.StatusBadRequest && len(text) > mostAnswer:
			s.Errorf("%s: an answer of %d bytes: %.300s", in.what, len(text), text)
		case response.StatusCode == http.StatusRequestHeaderFieldsTooLarge: // net/http's own
		default:
			if err := s.promised.Check(in.method, in.path, response.StatusCode, response.Header, []byte(text)); err != nil {
				s.Errorf("%s: %d: %v\n%.300s", in.what, response.StatusCode, err, text)
			}
		}
		return nil
	})
	if err != nil {
		s.Fatal(err)
	}
	for _, w := range s.watched {
		if !w.process().Running() {
			s.Fatalf("%s ended: %v\n%s", w.name, w.process().Err(), w.process().LogTail())
		}
	}
}

// clear deletes what the inputs have made.
func (s *sender) clear(ctx context.Context) {
	s.Helper()
	var hooks v1alpha1.WebhookList
	err := s.stack.Client.List(ctx, &hooks, client.InNamespace(inputsSpace))
	for i := range hooks.Items {
		if hook := &hooks.Items[i]; err == nil && hook.Name != "orders" {
			err = client.IgnoreNotFound(s.stack.Client.Delete(ctx, hook))
		}
	}
	var deliveries v1alpha1.WebhookDeliveryList
	if err == nil {
		err = s.stack.Client.List(ctx, &deliveries, client.InNamespace(inputsSpace))
	}
	if err == nil {
		err = inParallel(inputWidth, len(deliveries.Items), func(i int) error {
			one := &deliveries.Items[i]
			if identity.DeliveryID(one.Name, string(one.UID)) == s.delivery {
				return nil
			}
			return client.IgnoreNotFound(s.stack.Client.Delete(ctx, one))
		})
	}
	if err != nil {
		s.Fatal(err)
	}
}

// resident is what each process of the product has in memory, in bytes.
func (s *sender) resident() map[string]int64 {
	s.Helper()
	all := map[string]int64{}
	for i, w := range s.watched {
		name := w.name
		if i%2 == 1 {
			name = s.watched[i-1].name + "'s dispatcher"
		}
		memory, err := procstat.ReadMemory(w.process().PID())
		if err != nil {
			s.Fatal(err)
		}
		all[name] = memory.Now
	}
	return all
}

// answers are how often each status came so far.
func (s *sender) answers() string {
	var all []string
	for status := range s.statuses {
		if n := s.statuses[status].Load(); n > 0 {
			all = append(all, fmt.Sprintf("%d: %d", status, n))
		}
	}
	return strings.Join(all, ", ")
}

func inMiB(bytes map[string]int64) string {
	var all []string
	for _, name := range []string{"gateway", "gateway's dispatcher", "manager", "manager's dispatcher"} {
		all = append(all, fmt.Sprintf("%s %d MiB", name, bytes[name]>>20))
	}
	return strings.Join(all, ", ")
}
