// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"runtime"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	rules "bbmcp.quietstack.com/webhooks/internal/catalogue"
	"bbmcp.quietstack.com/webhooks/internal/watchcache"
)

// registered is an EventType with its schema compiled. It is shared and must
// not be changed.
type registered struct {
	name        string
	uid         types.UID
	created     time.Time
	eventType   string
	description string
	example     string

	shownSchema, shownExample json.RawMessage // null: none that can be shown

	schema  rules.Schema
	invalid error // why the schema is no schema; nil: it is one
}

func register(object *v1alpha1.EventType) *registered {
	r := &registered{
		name: object.Name, uid: object.UID, created: object.CreationTimestamp.Time,
		eventType: object.Spec.Type, description: object.Spec.Description,
		example: object.Spec.Example, shownSchema: jsonOrNull(object.Spec.Schema), shownExample: jsonOrNull(object.Spec.Example),
	}
	if r.eventType == "" {
		r.eventType = object.Name
	}
	r.schema, r.invalid = rules.Compile(object.Spec.Schema)
	return r
}

// largeBytes is how much data is much: checks of less do not wait for each other.
const largeBytes = 16 << 10

// catalogue is every event type. Of two objects with one type the older counts.
type catalogue struct {
	*watchcache.Cache[*v1alpha1.EventType, *registered]

	byType map[string][]*registered // the oldest first
	// large holds a place for each check of much data: these use memory as well.
	large chan struct{}
}

func newCatalogue(now func() time.Time) *catalogue {
	c := &catalogue{byType: map[string][]*registered{}, large: make(chan struct{}, runtime.GOMAXPROCS(0))}
	c.Cache = watchcache.New(register, c.changed, now)
	return c
}

func (c *catalogue) changed(before, after **registered) {
	if before != nil {
		left := slices.DeleteFunc(slices.Clone(c.byType[(*before).eventType]), func(r *registered) bool { return r.uid == (*before).uid })
		c.byType[(*before).eventType] = left
		if len(left) == 0 {
			delete(c.byType, (*before).eventType)
		}
	}
	if after != nil {
		all := append(slices.Clone(c.byType[(*after).eventType]), *after)
		slices.SortFunc(all, func(a, b *registered) int {
			return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.name, b.name))
		})
		c.byType[(*after).eventType] = all
	}
}

// validate holds data against the schema of a type.
func (c *catalogue) validate(ctx context.Context, entry *registered, data []byte) error {
	if len(data) > largeBytes {
		select {
		case c.large <- struct{}{}:
			defer func() { <-c.large }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return entry.schema.Validate(ctx, data)
}

// find returns the entry in force; nil: the type is not registered.
func (c *catalogue) find(eventType string) (found *registered) {
	c.View(func() {
		if all := c.byType[eventType]; len(all) > 0 {
			found = all[0]
		}
	})
	return found
}

// list returns the entries in force, by type.
func (c *catalogue) list() (all []*registered) {
	c.View(func() {
		for _, same := range c.byType {
			all = append(all, same[0])
		}
	})
	slices.SortFunc(all, func(a, b *registered) int { return cmp.Compare(a.eventType, b.eventType) })
	return all
}
