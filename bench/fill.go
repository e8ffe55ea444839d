// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
	owners, err := w.declareCeilingOwners(ctx, webhooks...)
	if err != nil {
		return nil, err
	}
	store, err := w.newEtcdStore()
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
		n, err := w.countDeliveries(ctx)
		return n == all.count(), err
	})
	return all, err
}

// fillPart creates the first delivery through the API server and copies it.
func (w *deployment) fillPart(ctx context.Context, store *etcdStore, run int, p *backlogPart) error {
	template := event.New(eventType, p.bytes)
	payload := func(i int) string {
		return template.Payload(event.Mark{Run: run, Number: i, Sent: time.Now()})
	}
	first := ceilingDelivery(p.owner, p.name(0), payload(0))
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
	var batch []etcdPut
	size := 0
	for i := 1; i < p.count; i++ {
		quoted, err := json.Marshal(payload(i))
		if err != nil {
			return err
		}
		name := strings.NewReplacer(first.Name, p.name(i), string(first.UID), string(uuid.NewUUID()))
		object := name.Replace(before) + string(quoted) + name.Replace(after)
		batch, size = append(batch, etcdPut{key + p.name(i), object}), size+len(object)
		if len(batch) == operations || size+len(object) > transactionBytes || i == p.count-1 {
			if err := store.put(ctx, batch); err != nil {
				return err
			}
			batch, size = nil, 0
		}
	}
	return nil
}
