// SPDX-License-Identifier: Apache-2.0

package store

import (
	"cmp"
	"context"
	"encoding/json"
	"runtime"
	"slices"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/catalogue"
	"bbmcp.quietstack.com/webhooks/internal/payload"
	"bbmcp.quietstack.com/webhooks/internal/watchcache"
)

// EventTypeEntry is an EventType with its schema compiled. It is shared and must not be changed.
type EventTypeEntry struct {
	Name        string
	uid         types.UID
	created     time.Time
	EventType   string
	Description string
	Example     string

	ShownSchema, ShownExample json.RawMessage // null: none that can be shown

	schema  catalogue.Schema
	Invalid error // why the schema cannot be compiled; nil: it can
}

func newEventTypeEntry(object *v1alpha1.EventType) *EventTypeEntry {
	r := &EventTypeEntry{
		Name: object.Name, uid: object.UID, created: object.CreationTimestamp.Time,
		EventType: object.Spec.Type, Description: object.Spec.Description,
		Example: object.Spec.Example, ShownSchema: eventTypeJSON(object.Spec.Schema), ShownExample: eventTypeJSON(object.Spec.Example),
	}
	if r.EventType == "" {
		r.EventType = object.Name
	}
	r.schema, r.Invalid = catalogue.Compile(object.Spec.Schema)
	return r
}

// largeData is the size from which data is validated a few at a time.
const largeData = 16 << 10

// EventTypeIndex holds every event type. Of two objects for one type the older counts.
type EventTypeIndex struct {
	*watchcache.Cache[*v1alpha1.EventType, *EventTypeEntry]

	byType map[string][]*EventTypeEntry // the oldest first
	// AllowUnregistered lets events be published whose types are not here.
	AllowUnregistered bool
	// largeChecks has a slot for each validation of large data: these use memory as well.
	largeChecks chan struct{}
}

// NewEventTypeIndex returns an index that is empty until Start.
func NewEventTypeIndex(now func() time.Time, allowUnregistered bool) *EventTypeIndex {
	x := &EventTypeIndex{byType: map[string][]*EventTypeEntry{}, AllowUnregistered: allowUnregistered, largeChecks: make(chan struct{}, runtime.GOMAXPROCS(0))}
	x.Cache = watchcache.New(newEventTypeEntry, x.applyChange, now)
	return x
}

func (x *EventTypeIndex) applyChange(before, after **EventTypeEntry) {
	if before != nil {
		left := slices.DeleteFunc(slices.Clone(x.byType[(*before).EventType]), func(r *EventTypeEntry) bool { return r.uid == (*before).uid })
		x.byType[(*before).EventType] = left
		if len(left) == 0 {
			delete(x.byType, (*before).EventType)
		}
	}
	if after != nil {
		all := append(slices.Clone(x.byType[(*after).EventType]), *after)
		slices.SortFunc(all, func(a, b *EventTypeEntry) int {
			return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.Name, b.Name))
		})
		x.byType[(*after).EventType] = all
	}
}

// Validate validates data against the schema of a type. Errors are *catalogue.Error and that of a context that ended.
func (x *EventTypeIndex) Validate(ctx context.Context, entry *EventTypeEntry, data []byte) error {
	if len(data) > largeData {
		select {
		case x.largeChecks <- struct{}{}:
			defer func() { <-x.largeChecks }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return entry.schema.Validate(ctx, data)
}

// Find returns the entry in force; nil: the type is not registered.
func (x *EventTypeIndex) Find(eventType string) (found *EventTypeEntry) {
	x.View(func() {
		if all := x.byType[eventType]; len(all) > 0 {
			found = all[0]
		}
	})
	return found
}

// List returns the entries in force, by type.
func (x *EventTypeIndex) List() (all []*EventTypeEntry) {
	x.View(func() {
		for _, same := range x.byType {
			all = append(all, same[0])
		}
	})
	slices.SortFunc(all, func(a, b *EventTypeEntry) int { return cmp.Compare(a.EventType, b.EventType) })
	return all
}

// eventTypeJSON returns a JSON text of an EventType; null for invalid JSON and for more
// levels than clients can be expected to read. The EventType's condition reports both.
func eventTypeJSON(text string) json.RawMessage {
	if !payload.IsShallow([]byte(text)) || !utf8.ValidString(text) {
		return json.RawMessage("null")
	}
	return json.RawMessage(text)
}
