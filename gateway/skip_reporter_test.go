// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/skipped"
)

// teller is skips beside an API server in memory, and the manager's part.
type teller struct {
	*skips

	now    time.Time
	patch  func(carryOut func() error) error // what becomes of a write
	writes int
}

func newTeller(t *testing.T) *teller {
	t.Helper()
	k := &teller{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), patch: func(carryOut func() error) error { return carryOut() }}
	object := &corev1.ConfigMap{}
	object.Namespace, object.Name = "system", skipped.ConfigMap
	api := interceptor.NewClient(fake.NewClientBuilder().WithObjects(object).Build(), interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
			k.writes++
			return k.patch(func() error { return c.Patch(ctx, object, patch, options...) })
		},
	})
	k.skips = &skips{
		client: api, object: client.ObjectKeyFromObject(object), replica: "gateway-1", logger: slog.New(slog.DiscardHandler),
		now: func() time.Time { return k.now }, untold: map[skipped.Webhook]skipped.Count{},
	}
	return k
}

// told is what the report says: of each webhook how many were skipped, full and
// disabled.
func (k *teller) told(t *testing.T) map[string][2]int64 {
	t.Helper()
	counts := map[string][2]int64{}
	for webhook, count := range k.report(t).Counts {
		counts[webhook.Name] = [2]int64{count.Full, count.Disabled}
	}
	return counts
}

func (k *teller) report(t *testing.T) skipped.Report {
	t.Helper()
	var object corev1.ConfigMap
	if err := k.client.Get(t.Context(), k.object, &object); err != nil {
		t.Fatal(err)
	}
	report, err := skipped.Decode(object.Data[k.replica])
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// taken is what the manager does with a report.
func (k *teller) taken(t *testing.T) {
	t.Helper()
	report := k.report(t)
	text := skipped.Encode(skipped.Report{Sequence: report.Sequence, Taken: k.now})
	patch := []byte(`{"data":{"gateway-1":` + strconv.Quote(text) + `}}`)
	object := &corev1.ConfigMap{}
	object.Namespace, object.Name = k.object.Namespace, k.object.Name
	before := k.patch
	k.patch = func(carryOut func() error) error { return carryOut() }
	if err := k.client.Patch(t.Context(), object, client.RawPatch(types.MergePatchType, patch)); err != nil {
		t.Fatal(err)
	}
	k.patch = before
}

func (k *teller) expect(t *testing.T, what string, want map[string][2]int64) {
	t.Helper()
	if got := k.told(t); !maps.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestTheManagerIsToldWhatWasSkipped(t *testing.T) {
	k := newTeller(t)
	k.note(inTeam("a"), rest.SkippedBacklogFull)
	k.note(inTeam("a"), rest.SkippedBacklogFull)
	k.note(inTeam("b"), rest.SkippedDisabled)
	if err := k.tell(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.expect(t, "the first time", map[string][2]int64{"a": {2, 0}, "b": {0, 1}})
	if err := k.tell(t.Context()); err != nil || k.writes != 1 {
		t.Errorf("%d writes with nothing new, %v", k.writes, err)
	}
	k.note(inTeam("a"), rest.SkippedBacklogFull)
	if err := k.tell(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.expect(t, "before the manager has taken it", map[string][2]int64{"a": {3, 0}, "b": {0, 1}})
	k.taken(t)
	k.note(inTeam("b"), rest.SkippedDisabled)
	if err := k.tell(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.expect(t, "after that", map[string][2]int64{"b": {0, 1}})
}

func TestWhatWasSkippedIsToldOnceThoughAnswersAreLost(t *testing.T) {
	lost := errors.New("no answer")
	for name, c := range map[string]struct {
		patch func(carryOut func() error) error
		taken bool // the manager is quick
		want  map[string][2]int64
	}{
		"carried out":           {func(carryOut func() error) error { _ = carryOut(); return lost }, false, map[string][2]int64{"a": {2, 0}}},
		"carried out and taken": {func(carryOut func() error) error { _ = carryOut(); return lost }, true, map[string][2]int64{"a": {1, 0}}},
		"not carried out":       {func(func() error) error { return lost }, false, map[string][2]int64{"a": {2, 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			k := newTeller(t)
			k.patch = c.patch
			k.note(inTeam("a"), rest.SkippedBacklogFull)
			if err := k.tell(t.Context()); !errors.Is(err, lost) {
				t.Fatal(err)
			}
			if c.taken {
				k.taken(t)
			}
			k.patch = func(carryOut func() error) error { return carryOut() }
			k.note(inTeam("a"), rest.SkippedBacklogFull)
			if err := k.tell(t.Context()); err != nil {
				t.Fatal(err)
			}
			k.expect(t, "in the end", c.want)
			if len(k.untold) != 0 {
				t.Errorf("untold: %v", k.untold)
			}
		})
	}
}

func TestMoreWebhooksThanOneReportHoldsAreToldInTurn(t *testing.T) {
	k := newTeller(t)
	for i := range skipped.MaxWebhooks + 10 {
		k.note(inTeam(types.UID(rune('a'+i%26))+types.UID(time.Duration(i).String())), rest.SkippedBacklogFull)
	}
	seen := map[string]bool{}
	for range 2 {
		if err := k.tell(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := k.tell(t.Context()); err != nil { // no room until it is taken
			t.Fatal(err)
		}
		for _, name := range slices.Collect(maps.Keys(k.told(t))) {
			if seen[name] {
				t.Errorf("%s is told twice", name)
			}
			seen[name] = true
		}
		k.taken(t)
	}
	if len(seen) != skipped.MaxWebhooks+10 || len(k.untold) != 0 {
		t.Errorf("%d webhooks were told of, %d are left", len(seen), len(k.untold))
	}
}

func TestANamespaceWithManySkippedWebhooksDelaysNoOther(t *testing.T) {
	k := newTeller(t)
	for i := range 20 * skipped.MaxWebhooks {
		k.note(inTeam(types.UID(strconv.Itoa(i))), rest.SkippedBacklogFull)
	}
	k.note(webhookKey{namespace: "neighbour", name: "orders", uid: "orders"}, rest.SkippedBacklogFull)
	if err := k.tell(t.Context()); err != nil {
		t.Fatal(err)
	}
	if told := k.told(t); told["orders"] != [2]int64{1, 0} || len(told) != skipped.MaxWebhooks {
		t.Errorf("%d webhooks were told of, of the neighbour's %v", len(told), told["orders"])
	}
}

func TestNothingIsToldOfWebhooksThatAreGone(t *testing.T) {
	k := newTeller(t)
	k.patch = func(func() error) error { return errors.New("no answer") }
	gone := &v1alpha1.Webhook{}
	gone.Namespace, gone.Name, gone.UID = inTeam("a").namespace, inTeam("a").name, inTeam("a").uid
	k.note(inTeam("a"), rest.SkippedBacklogFull)
	if err := k.tell(t.Context()); err == nil {
		t.Fatal("the write was carried out")
	}
	k.forget(gone)
	k.note(inTeam("a"), rest.SkippedDisabled) // by a publisher that has not heard of it
	k.settle(skipped.Report{Sequence: k.sequence})
	if len(k.untold) != 1 || k.untold[skipped.Webhook{Namespace: gone.Namespace, Name: gone.Name, UID: gone.UID}].Full != 0 {
		t.Errorf("untold: %v", k.untold)
	}
	k.forget(gone)
	if len(k.untold) != 0 {
		t.Errorf("untold of a webhook that is gone: %v", k.untold)
	}
}
