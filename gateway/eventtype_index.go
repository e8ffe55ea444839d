// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	rules "bbmcp.quietstack.com/webhooks/internal/catalogue"
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

	schema  rules.Schema
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
	r.schema, r.invalid = rules.Compile(object.Spec.Schema)
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

// validate validates data against the schema of a type.
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

// checkSchema validates the data of a built payload, which so has bounded size, depth and numbers, against the schema
// of its type.
func (x *eventTypeIndex) checkSchema(ctx context.Context, entry *eventTypeEntry, body []byte) error {
	if entry.invalid != nil {
		return &eventError{reason: reasonEventTypeInvalid, detail: fmt.Sprintf(
			"the schema of EventType %q cannot be used, so nothing of this type is accepted until an operator corrects it: %v", entry.name, entry.invalid)}
	}
	err := x.validate(ctx, entry, payload.DataOf(body))
	switch found, ok := errors.AsType[*rules.Error](err); {
	case ok && found.TooCostly:
		return &eventError{reasonSchemaTooCostly, found.Field, found.Detail}
	case ok:
		return &eventError{reasonSchemaViolated, found.Field, found.Detail}
	case err != nil: // the request has ended
		return &unavailableError{"checking the event", err}
	}
	return nil
}
