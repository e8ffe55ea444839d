// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/uuid"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/bench/internal/event"
)

const (
	// operations and transactionBytes bound a transaction of etcd, which takes
	// 128 operations and 1.5 MiB.
	operations       = 100
	transactionBytes = mib
	fillers          = 4
)

// backlog is deliveries that are pending.
type backlog struct {
	run   int
	parts []*part
}

// part is the backlog of one webhook.
type part struct {
	webhook webhookSpec
	owner   *v1alpha1.Webhook
	bytes   int
	prefix  string
	count   int
}

func (b *backlog) count() int {
	n := 0
	for _, one := range b.parts {
		n += one.count
	}
	return n
}

func (p *part) name(i int) string { return fmt.Sprintf("dlv-%s-%024d", p.prefix, i) }

// fill makes the backlog. The API server would need minutes for so many
// objects, so they go straight into etcd, as a restore would put them there, in
// the form in which the API server itself has stored the first of each webhook.
func (w *deployment) fill(ctx context.Context) (*backlog, error) {
	size := w.b.size
	all := &backlog{run: w.b.nextRun()}
	all.add("small", size.backlogSmall, smallEach, kib)
	all.add("large", size.backlogLarge, largeEach, largeBytes)
	var webhooks []webhookSpec
	for _, one := range all.parts {
		webhooks = append(webhooks, one.webhook)
	}
	owners, err := w.owners(ctx, webhooks...)
	if err != nil {
		return nil, err
	}
	store, err := w.newStore()
	if err != nil {
		return nil, err
	}
	w.b.say("putting %d deliveries to %d webhooks into etcd", all.count(), len(webhooks))
	err = inParallelBy(fillers, len(all.parts), func(i int) error {
		all.parts[i].owner = owners[i]
		return w.fillPart(ctx, store, all.run, all.parts[i])
	})
	if err != nil {
		return nil, fmt.Errorf("fill etcd: %w", err)
	}
	err = poll(ctx, "the API server to see the backlog", func() (bool, error) {
		n, err := w.deliveries(ctx)
		return n == all.count(), err
	})
	return all, err
}

// add shares deliveries out among as many webhooks as they need.
func (b *backlog) add(name string, total, each, payload int) {
	for i := 0; total > 0; i++ {
		n := min(each, total)
		total -= n
		b.parts = append(b.parts, &part{
			webhook: webhookSpec{
				namespace: fmt.Sprintf("bench-%s-%d", name, i/hooksEach), name: fmt.Sprintf("%s-%d", name, i),
				class: healthyClass, types: []string{eventType},
			},
			prefix: fmt.Sprintf("%s-%03d", name, i), count: n, bytes: payload,
		})
	}
}

// fillPart creates the first delivery through the API server and copies it.
func (w *deployment) fillPart(ctx context.Context, store *store, run int, p *part) error {
	template := event.New(eventType, p.bytes)
	payload := func(i int) string {
		return template.Payload(event.Mark{Run: run, Number: i, Sent: time.Now()})
	}
	first := delivery(p.owner, p.name(0), payload(0))
	if err := w.stack.Client.Create(ctx, first); err != nil {
		return fmt.Errorf("create the first delivery of a webhook: %w", err)
	}
	key := "/registry/" + v1alpha1.GroupVersion.Group + "/webhookdeliveries/" + first.Namespace + "/"
	stored, err := store.get(ctx, key+first.Name)
	if err != nil {
		return err
	}
	quoted, err := json.Marshal(first.Spec.Payload)
	if err != nil {
		return err
	}
	before, after, ok := strings.Cut(stored, string(quoted))
	if !ok {
		return errors.New("the stored object does not hold its payload as it was written")
	}
	var batch []put
	size := 0
	for i := 1; i < p.count; i++ {
		quoted, err := json.Marshal(payload(i))
		if err != nil {
			return err
		}
		name := strings.NewReplacer(first.Name, p.name(i), string(first.UID), string(uuid.NewUUID()))
		object := name.Replace(before) + string(quoted) + name.Replace(after)
		batch, size = append(batch, put{key + p.name(i), object}), size+len(object)
		if len(batch) == operations || size+len(object) > transactionBytes || i == p.count-1 {
			if err := store.put(ctx, batch); err != nil {
				return err
			}
			batch, size = nil, 0
		}
	}
	return nil
}

// store is etcd, through its JSON gateway.
type store struct {
	base   string
	client *http.Client
}

type put struct{ key, value string }

func (w *deployment) newStore() (*store, error) {
	base, config, err := w.stack.ControlPlane.EtcdClient()
	if err != nil {
		return nil, err
	}
	return &store{base: base, client: &http.Client{Transport: &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: fillers}}}, nil
}

func (s *store) get(ctx context.Context, key string) (string, error) {
	var answer struct {
		KVs []struct {
			Value []byte `json:"value"`
		} `json:"kvs"`
	}
	body := fmt.Sprintf(`{"key":%q}`, base64.StdEncoding.EncodeToString([]byte(key)))
	if err := s.call(ctx, "/v3/kv/range", []byte(body), &answer); err != nil {
		return "", err
	}
	if len(answer.KVs) != 1 {
		return "", fmt.Errorf("%s is stored %d times", key, len(answer.KVs))
	}
	return string(answer.KVs[0].Value), nil
}

// put writes all in one transaction.
func (s *store) put(ctx context.Context, batch []put) error {
	var body bytes.Buffer
	body.WriteString(`{"success":[`)
	for i, one := range batch {
		if i > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, `{"requestPut":{"key":%q,"value":%q}}`,
			base64.StdEncoding.EncodeToString([]byte(one.key)), base64.StdEncoding.EncodeToString([]byte(one.value)))
	}
	body.WriteString(`]}`)
	return s.call(ctx, "/v3/kv/txn", body.Bytes(), nil)
}

func (s *store) call(ctx context.Context, path string, body []byte, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("etcd %s: %s: %.300s", path, response.Status, answer)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}
