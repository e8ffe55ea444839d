// SPDX-License-Identifier: Apache-2.0

package gateway

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

// eventTypeEntry is an EventType with its schema compiled. It is shared and must not be changed.
type eventTypeEntry struct {
	name        string
	uid         types.UID
	created     time.Time
	eventType   string
	description string
	example     string

	shownSchema, shownExample json.RawMessage // null: none that can be shown

	schema  catalogue.Schema
	invalid error // why the schema cannot be compiled; nil: it can
}

func newEventTypeEntry(object *v1alpha1.EventType) *eventTypeEntry {
	r := &eventTypeEntry{
		name: object.Name, uid: object.UID, created: object.CreationTimestamp.Time,
		eventType: object.Spec.Type, description: object.Spec.Description,
		example: object.Spec.Example, shownSchema: jsonOrNull(object.Spec.Schema), shownExample: jsonOrNull(object.Spec.Example),
	}
	if r.eventType == "" {
		r.eventType = object.Name
	}
	r.schema, r.invalid = catalogue.Compile(object.Spec.Schema)
	return r
}

// largeData is the size from which data is validated a few at a time.
const largeData = 16 << 10

// eventTypeIndex holds every event type. Of two objects for one type the older counts.
type eventTypeIndex struct {
	*watchcache.Cache[*v1alpha1.EventType, *eventTypeEntry]

	byType map[string][]*eventTypeEntry // the oldest first
	// allowUnregistered lets events be published whose types are not here.
	allowUnregistered bool
	// largeChecks has a slot for each validation of large data: these use memory as well.
	largeChecks chan struct{}
}

func newEventTypeIndex(now func() time.Time, allowUnregistered bool) *eventTypeIndex {
	x := &eventTypeIndex{byType: map[string][]*eventTypeEntry{}, allowUnregistered: allowUnregistered, largeChecks: make(chan struct{}, runtime.GOMAXPROCS(0))}
	x.Cache = watchcache.New(newEventTypeEntry, x.applyChange, now)
	return x
}

func (x *eventTypeIndex) applyChange(before, after **eventTypeEntry) {
	if before != nil {
		left := slices.DeleteFunc(slices.Clone(x.byType[(*before).eventType]), func(r *eventTypeEntry) bool { return r.uid == (*before).uid })
		x.byType[(*before).eventType] = left
		if len(left) == 0 {
			delete(x.byType, (*before).eventType)
		}
	}
	if after != nil {
		all := append(slices.Clone(x.byType[(*after).eventType]), *after)
		slices.SortFunc(all, func(a, b *eventTypeEntry) int {
			return cmp.Or(a.created.Compare(b.created), cmp.Compare(a.name, b.name))
		})
		x.byType[(*after).eventType] = all
	}
}

// validate validates data against the schema of a type. Errors are *catalogue.Error and that of a context that ended.
func (x *eventTypeIndex) validate(ctx context.Context, entry *eventTypeEntry, data []byte) error {
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

// find returns the entry in force; nil: the type is not registered.
func (x *eventTypeIndex) find(eventType string) (found *eventTypeEntry) {
	x.View(func() {
		if all := x.byType[eventType]; len(all) > 0 {
			found = all[0]
		}
	})
	return found
}

// list returns the entries in force, by type.
func (x *eventTypeIndex) list() (all []*eventTypeEntry) {
	x.View(func() {
		for _, same := range x.byType {
			all = append(all, same[0])
		}
	})
	slices.SortFunc(all, func(a, b *eventTypeEntry) int { return cmp.Compare(a.eventType, b.eventType) })
	return all
}

// jsonOrNull returns a JSON text of an EventType; null for invalid JSON and for more
// levels than clients can be expected to read. The EventType's condition reports both.
func jsonOrNull(text string) json.RawMessage {
	if !payload.IsShallow([]byte(text)) || !utf8.ValidString(text) {
		return json.RawMessage("null")
	}
	return json.RawMessage(text)
}
