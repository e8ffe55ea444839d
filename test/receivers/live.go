// SPDX-License-Identifier: Apache-2.0

package receivers

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"bbmcp.quietstack.com/webhooks/test/live"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

const (
	publishers   = 8
	randomType   = "random.content"
	waitReceived = 2 * time.Minute
)

// CheckLive publishes events of random content to a receiver through the running
// product and returns once each was worked on exactly once.
func CheckLive(ctx context.Context, r *ExampleReceiver, events int, progress func(string)) error {
	documents, err := randomLiveDocuments(ctx, events)
	if err != nil {
		return err
	}
	product, err := live.Start(ctx, live.Options{Progress: progress, GatewayArgs: []string{"--allow-unregistered-event-types"}})
	if err != nil {
		return err
	}
	defer func() { _ = product.Stop() }()
	p := &livePublisher{product: product, client: &http.Client{Timeout: 30 * time.Second}}
	defer p.client.CloseIdleConnections()
	webhook := map[string]any{"url": r.URL, "events": []string{randomType}, "secret": secret}
	if err := p.post(ctx, "/v1/webhooks", webhook, http.StatusCreated); err != nil {
		return err
	}
	known, err := r.processed()
	if err != nil {
		return err
	}
	ids := make([]string, 0, len(known)+events)
	for id := range known {
		ids = append(ids, id)
	}
	published, err := p.publish(ctx, documents)
	if err != nil {
		return fmt.Errorf("%w\n%s", err, product.Logs())
	}
	if err := r.await(ctx, append(ids, published...), waitReceived); err != nil {
		return fmt.Errorf("%w\n%s", err, product.Logs())
	}
	return nil
}

type livePublisher struct {
	product *live.Product
	client  *http.Client
}

// publish publishes the documents and returns their ids.
func (p *livePublisher) publish(ctx context.Context, documents []json.RawMessage) ([]string, error) {
	ids := make([]string, len(documents))
	errs := make([]error, publishers)
	var next atomic.Int64
	var workers sync.WaitGroup
	for worker := range publishers {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(documents)) && errs[worker] == nil; i = next.Add(1) - 1 {
				ids[i] = "random-" + strconv.FormatInt(i, 10)
				event := map[string]any{"event": randomType, "id": ids[i], "data": documents[i]}
				errs[worker] = p.post(ctx, "/v1/events", event, http.StatusAccepted)
			}
		})
	}
	workers.Wait()
	return ids, errors.Join(errs...)
}

func (p *livePublisher) post(ctx context.Context, path string, body any, want int) error {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false) // documents go out as they are
	if err := encoder.Encode(body); err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.product.APIURL+path, &text)
	if err != nil {
		return err
	}
	request.Header.Set("Authorization", "Bearer "+p.product.Key)
	request.Header.Set("Content-Type", "application/json")
	answer, err := p.client.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(io.LimitReader(answer.Body, 64<<10))
	if err == nil && answer.StatusCode != want {
		err = fmt.Errorf("POST %s: %s: %s", path, answer.Status, said)
	}
	return err
}

// randomLiveDocuments are the data of events, from the generator that the checks of
// payloads use.
func randomLiveDocuments(ctx context.Context, count int) ([]json.RawMessage, error) {
	root, err := stack.Root(ctx)
	if err != nil {
		return nil, err
	}
	generate := exec.CommandContext(ctx, "go", "run", "./test/node/generate", "-numbers", "0", "-documents", strconv.Itoa(count))
	generate.Dir = root
	out, err := generate.Output()
	if err != nil {
		return nil, fmt.Errorf("make random documents: %w", err)
	}
	var documents []json.RawMessage
	lines := bufio.NewScanner(bytes.NewReader(out))
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		var record struct{ Kind, Raw string }
		if err := json.Unmarshal(lines.Bytes(), &record); err != nil {
			return nil, fmt.Errorf("make random documents: %w", err)
		}
		if record.Kind == "document" {
			documents = append(documents, json.RawMessage(record.Raw))
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("make random documents: %w", err)
	}
	if len(documents) < count {
		return nil, fmt.Errorf("make random documents: %d of %d", len(documents), count)
	}
	return documents[len(documents)-count:], nil // the first ones are not random
}
