// SPDX-License-Identifier: Apache-2.0

package publish

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

// reporterFixture is a skipReporter with an API server in memory, and the manager's part.
type reporterFixture struct {
	*skipReporter

	now    time.Time
	patch  func(carryOut func() error) error // carries a write out, or not
	writes int
}

func newReporterFixture(t *testing.T) *reporterFixture {
	t.Helper()
	f := &reporterFixture{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), patch: func(carryOut func() error) error { return carryOut() }}
	object := &corev1.ConfigMap{}
	object.Namespace, object.Name = "system", skipped.ConfigMap
	api := interceptor.NewClient(fake.NewClientBuilder().WithObjects(object).Build(), interceptor.Funcs{
		Patch: func(ctx context.Context, c client.WithWatch, object client.Object, patch client.Patch, options ...client.PatchOption) error {
			f.writes++
			return f.patch(func() error { return c.Patch(ctx, object, patch, options...) })
		},
	})
	f.skipReporter = &skipReporter{
		client: api, object: client.ObjectKeyFromObject(object), replica: "gateway-1", logger: slog.New(slog.DiscardHandler),
		now: func() time.Time { return f.now }, unreported: map[skipped.Webhook]skipped.Count{},
	}
	return f
}

// reported are the counts in the report: for each webhook how many were skipped, full and disabled.
func (f *reporterFixture) reported(t *testing.T) map[string][2]int64 {
	t.Helper()
	counts := map[string][2]int64{}
	for webhook, count := range f.decodeReport(t).Counts {
		counts[webhook.Name] = [2]int64{count.Full, count.Disabled}
	}
	return counts
}

func (f *reporterFixture) decodeReport(t *testing.T) skipped.Report {
	t.Helper()
	var object corev1.ConfigMap
	if err := f.client.Get(t.Context(), f.object, &object); err != nil {
		t.Fatal(err)
	}
	report, err := skipped.Decode(object.Data[f.replica])
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// takeReport takes the report as the manager does.
func (f *reporterFixture) takeReport(t *testing.T) {
	t.Helper()
	report := f.decodeReport(t)
	text := skipped.Encode(skipped.Report{Sequence: report.Sequence, Taken: f.now})
	patch := []byte(`{"data":{"gateway-1":` + strconv.Quote(text) + `}}`)
	object := &corev1.ConfigMap{}
	object.Namespace, object.Name = f.object.Namespace, f.object.Name
	before := f.patch
	f.patch = func(carryOut func() error) error { return carryOut() }
	if err := f.client.Patch(t.Context(), object, client.RawPatch(types.MergePatchType, patch)); err != nil {
		t.Fatal(err)
	}
	f.patch = before
}

func (f *reporterFixture) expectReported(t *testing.T, what string, want map[string][2]int64) {
	t.Helper()
	if got := f.reported(t); !maps.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

func TestSkippedDeliveriesAreReported(t *testing.T) {
	f := newReporterFixture(t)
	f.count(teamWebhook("a"), rest.SkippedBacklogFull)
	f.count(teamWebhook("a"), rest.SkippedBacklogFull)
	f.count(teamWebhook("b"), rest.SkippedDisabled)
	if err := f.report(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.expectReported(t, "the first time", map[string][2]int64{"a": {2, 0}, "b": {0, 1}})
	if err := f.report(t.Context()); err != nil || f.writes != 1 {
		t.Errorf("%d writes with nothing new, %v", f.writes, err)
	}
	f.count(teamWebhook("a"), rest.SkippedBacklogFull)
	if err := f.report(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.expectReported(t, "before the manager has taken it", map[string][2]int64{"a": {3, 0}, "b": {0, 1}})
	f.takeReport(t)
	f.count(teamWebhook("b"), rest.SkippedDisabled)
	if err := f.report(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.expectReported(t, "after that", map[string][2]int64{"b": {0, 1}})
}

func TestSkippedDeliveriesAreReportedOnceThoughAnswersAreLost(t *testing.T) {
	lost := errors.New("no answer")
	for name, c := range map[string]struct {
		patch func(carryOut func() error) error
		taken bool // the manager takes the report before the next one
		want  map[string][2]int64
	}{
		"the write was carried out":                                  {func(carryOut func() error) error { _ = carryOut(); return lost }, false, map[string][2]int64{"a": {2, 0}}},
		"the write was carried out, and the manager took the report": {func(carryOut func() error) error { _ = carryOut(); return lost }, true, map[string][2]int64{"a": {1, 0}}},
		"the write was not carried out":                              {func(func() error) error { return lost }, false, map[string][2]int64{"a": {2, 0}}},
	} {
		t.Run(name, func(t *testing.T) {
			f := newReporterFixture(t)
			f.patch = c.patch
			f.count(teamWebhook("a"), rest.SkippedBacklogFull)
			if err := f.report(t.Context()); !errors.Is(err, lost) {
				t.Fatal(err)
			}
			if c.taken {
				f.takeReport(t)
			}
			f.patch = func(carryOut func() error) error { return carryOut() }
			f.count(teamWebhook("a"), rest.SkippedBacklogFull)
			if err := f.report(t.Context()); err != nil {
				t.Fatal(err)
			}
			f.expectReported(t, "in the end", c.want)
			if len(f.unreported) != 0 {
				t.Errorf("untold: %v", f.unreported)
			}
		})
	}
}

func TestWebhooksBeyondOneReportAreReportedInTurn(t *testing.T) {
	f := newReporterFixture(t)
	for i := range skipped.MaxWebhooks + 10 {
		f.count(teamWebhook(types.UID(rune('a'+i%26))+types.UID(time.Duration(i).String())), rest.SkippedBacklogFull)
	}
	seen := map[string]bool{}
	for range 2 {
		if err := f.report(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := f.report(t.Context()); err != nil { // no room until the manager takes it
			t.Fatal(err)
		}
		for _, name := range slices.Collect(maps.Keys(f.reported(t))) {
			if seen[name] {
				t.Errorf("%s is reported twice", name)
			}
			seen[name] = true
		}
		f.takeReport(t)
	}
	if len(seen) != skipped.MaxWebhooks+10 || len(f.unreported) != 0 {
		t.Errorf("%d webhooks were reported, %d are left", len(seen), len(f.unreported))
	}
}

func TestNamespaceWithManySkippedWebhooksDelaysNoOther(t *testing.T) {
	f := newReporterFixture(t)
	for i := range 20 * skipped.MaxWebhooks {
		f.count(teamWebhook(types.UID(strconv.Itoa(i))), rest.SkippedBacklogFull)
	}
	f.count(webhookKey{namespace: "neighbour", name: "orders", uid: "orders"}, rest.SkippedBacklogFull)
	if err := f.report(t.Context()); err != nil {
		t.Fatal(err)
	}
	if told := f.reported(t); told["orders"] != [2]int64{1, 0} || len(told) != skipped.MaxWebhooks {
		t.Errorf("%d webhooks were reported, of the neighbour's %v", len(told), told["orders"])
	}
}

func TestDeletedWebhooksAreNotReported(t *testing.T) {
	f := newReporterFixture(t)
	f.patch = func(func() error) error { return errors.New("no answer") }
	gone := &v1alpha1.Webhook{}
	gone.Namespace, gone.Name, gone.UID = teamWebhook("a").namespace, teamWebhook("a").name, teamWebhook("a").uid
	f.count(teamWebhook("a"), rest.SkippedBacklogFull)
	if err := f.report(t.Context()); err == nil {
		t.Fatal("the write was carried out")
	}
	f.forgetWebhook(gone)
	f.count(teamWebhook("a"), rest.SkippedDisabled) // by a publisher that does not know of the deletion yet
	f.confirm(skipped.Report{Sequence: f.sequence})
	if len(f.unreported) != 1 || f.unreported[skipped.Webhook{Namespace: gone.Namespace, Name: gone.Name, UID: gone.UID}].Full != 0 {
		t.Errorf("untold: %v", f.unreported)
	}
	f.forgetWebhook(gone)
	if len(f.unreported) != 0 {
		t.Errorf("untold of a webhook that is gone: %v", f.unreported)
	}
}
