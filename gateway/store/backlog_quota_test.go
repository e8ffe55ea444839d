// SPDX-License-Identifier: Apache-2.0

package store

import (
	"fmt"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"
)

func TestQuotaDecision(t *testing.T) {
	limits := BacklogLimits{PerWebhook: 10, PerNamespace: 100, PerNamespaceBytes: 10_000, Cluster: 300, ClusterBytes: 30_000}
	request := func(name string, count int, bytes int64) QuotaRequest {
		return QuotaRequest{Webhook: name, WebhookID: "wh_" + name, used: backlogUsage{count, bytes}}
	}
	refusing := func(w QuotaRequest) QuotaRequest { w.RefuseIfFull = true; return w }
	for name, c := range map[string]struct {
		limits             BacklogLimits
		bytes              int64
		cluster, namespace backlogUsage
		hogs               []backlogUsage // other namespaces; none: one with the rest of cluster
		wishes             []QuotaRequest
		granted, skipped   []string
		refused            string
		never              bool // refused for good
	}{
		"no webhook matches":                                     {},
		"no webhook matches in a full namespace":                 {cluster: backlogUsage{300, 30_000}, namespace: backlogUsage{100, 10_000}},
		"all webhooks are within their quota":                    {bytes: 100, wishes: []QuotaRequest{request("a", 0, 0), request("b", 9, 0)}, granted: []string{"a", "b"}},
		"one webhook is full":                                    {bytes: 100, wishes: []QuotaRequest{request("a", 10, 0), request("b", 0, 0)}, granted: []string{"b"}, skipped: []string{"a"}},
		"one webhook's bytes just fit":                           {bytes: 100, wishes: []QuotaRequest{request("a", 1, 1900)}, granted: []string{"a"}},
		"one webhook's bytes exceed its quota":                   {bytes: 101, wishes: []QuotaRequest{request("a", 1, 1900)}, skipped: []string{"a"}},
		"a full webhook refuses":                                 {bytes: 1, wishes: []QuotaRequest{request("b", 0, 0), refusing(request("a", 10, 0))}, refused: QuotaWebhookFull},
		"a webhook that refuses is not full":                     {bytes: 1, wishes: []QuotaRequest{refusing(request("a", 9, 0))}, granted: []string{"a"}},
		"a webhook has a fifth of the namespace":                 {limits: BacklogLimits{PerWebhook: 10, PerNamespace: 20, PerNamespaceBytes: 500, Cluster: 300, ClusterBytes: 999}, bytes: 1, wishes: []QuotaRequest{request("a", 3, 0), request("b", 4, 0)}, granted: []string{"a"}, skipped: []string{"b"}},
		"a webhook may always have one delivery":                 {limits: BacklogLimits{PerWebhook: 10, PerNamespace: 2, PerNamespaceBytes: 500, Cluster: 300, ClusterBytes: 999}, bytes: 1, wishes: []QuotaRequest{request("a", 0, 0), request("b", 1, 0)}, granted: []string{"a"}, skipped: []string{"b"}},
		"the namespace has just enough quota":                    {bytes: 1, cluster: backlogUsage{98, 98}, namespace: backlogUsage{98, 98}, wishes: []QuotaRequest{request("a", 0, 0), request("b", 0, 0)}, granted: []string{"a", "b"}},
		"the namespace has quota for one of two webhooks":        {bytes: 1, cluster: backlogUsage{99, 99}, namespace: backlogUsage{99, 99}, wishes: []QuotaRequest{request("a", 0, 0), request("b", 0, 0)}, refused: QuotaNamespaceFull},
		"the namespace's bytes are used":                         {bytes: 1001, cluster: backlogUsage{9, 9000}, namespace: backlogUsage{9, 9000}, wishes: []QuotaRequest{request("a", 0, 0)}, refused: QuotaNamespaceFull},
		"a payload that no webhook may ever have":                {bytes: 2001, wishes: []QuotaRequest{request("a", 0, 0)}, refused: QuotaExceedsLimits, never: true},
		"the largest payload that a webhook may have":            {bytes: 2000, wishes: []QuotaRequest{request("a", 0, 0)}, granted: []string{"a"}},
		"a payload too large for a webhook that refuses":         {bytes: 2001, wishes: []QuotaRequest{refusing(request("a", 10, 0))}, refused: QuotaExceedsLimits, never: true},
		"a payload too large, and no webhook matches":            {bytes: 2001},
		"more webhooks than a namespace may have":                {bytes: 1, wishes: slices.Repeat([]QuotaRequest{request("a", 0, 0)}, 101), refused: QuotaExceedsLimits, never: true},
		"more webhooks than a namespace may have now":            {bytes: 1, cluster: backlogUsage{1, 1}, namespace: backlogUsage{1, 1}, wishes: slices.Repeat([]QuotaRequest{request("a", 0, 0)}, 100), refused: QuotaNamespaceFull},
		"more bytes than a namespace may have":                   {bytes: 1000, wishes: slices.Repeat([]QuotaRequest{request("a", 0, 0)}, 11), refused: QuotaExceedsLimits, never: true},
		"more webhooks than the cluster leaves to one namespace": {limits: BacklogLimits{PerWebhook: 10, PerNamespace: 100, PerNamespaceBytes: 10_000, Cluster: 20, ClusterBytes: 30_000}, bytes: 1, wishes: slices.Repeat([]QuotaRequest{request("a", 0, 0)}, 21), refused: QuotaExceedsLimits, never: true},
		"a full namespace whose webhooks are all skipped":        {bytes: 1, namespace: backlogUsage{100, 0}, wishes: []QuotaRequest{request("a", 10, 0)}, skipped: []string{"a"}},
		"the cluster is nearly full of other namespaces":         {bytes: 1, cluster: backlogUsage{299, 0}, wishes: []QuotaRequest{request("a", 0, 0)}, granted: []string{"a"}},
		"another namespace has far more than its share":          {bytes: 1, cluster: backlogUsage{100_099, 0}, namespace: backlogUsage{99, 0}, wishes: []QuotaRequest{request("a", 0, 0)}, granted: []string{"a"}},
		"another namespace has more than its share of bytes":     {bytes: 1, cluster: backlogUsage{1, 1 << 40}, wishes: []QuotaRequest{request("a", 0, 0)}, granted: []string{"a"}},
		"two others have more than their share, this one less":   {bytes: 1, cluster: backlogUsage{100_049, 0}, namespace: backlogUsage{49, 0}, hogs: []backlogUsage{{50_000, 0}, {50_000, 0}}, wishes: []QuotaRequest{request("a", 0, 0)}, granted: []string{"a"}},
		"two others have more than their share, this one all":    {bytes: 1, cluster: backlogUsage{100_050, 0}, namespace: backlogUsage{50, 0}, hogs: []backlogUsage{{50_000, 0}, {50_000, 0}}, wishes: []QuotaRequest{request("a", 0, 0)}, refused: QuotaClusterFull},
		"six others have more than their share, this one none":   {bytes: 1, cluster: backlogUsage{6e5, 0}, hogs: slices.Repeat([]backlogUsage{{1e5, 0}}, 6), wishes: []QuotaRequest{request("a", 0, 0)}, granted: []string{"a"}},
		"many small namespaces have all of the cluster":          {bytes: 1, cluster: backlogUsage{300, 0}, hogs: slices.Repeat([]backlogUsage{{1, 0}}, 300), wishes: []QuotaRequest{request("a", 0, 0)}, refused: QuotaClusterFull},
		"a namespace takes as much as it leaves free":            {bytes: 1, cluster: backlogUsage{249, 0}, namespace: backlogUsage{50, 0}, wishes: []QuotaRequest{request("a", 0, 0)}, granted: []string{"a"}},
		"a namespace takes more than it leaves free":             {bytes: 1, cluster: backlogUsage{250, 0}, namespace: backlogUsage{50, 0}, hogs: []backlogUsage{{100, 0}, {100, 0}}, wishes: []QuotaRequest{request("a", 0, 0)}, refused: QuotaClusterFull},
		"a new namespace takes what a busy one may not":          {bytes: 1, cluster: backlogUsage{250, 0}, wishes: []QuotaRequest{request("a", 0, 0)}, granted: []string{"a"}},
		"the bytes of the cluster are shared":                    {bytes: 1000, cluster: backlogUsage{9, 26_000}, namespace: backlogUsage{4, 4000}, hogs: []backlogUsage{{2, 10_000}, {2, 10_000}, {1, 2000}}, wishes: []QuotaRequest{request("a", 0, 0)}, refused: QuotaClusterFull},
	} {
		t.Run(name, func(t *testing.T) {
			if c.limits == (BacklogLimits{}) {
				c.limits = limits
			}
			others := c.hogs
			if others == nil {
				others = []backlogUsage{{c.cluster.count - c.namespace.count, c.cluster.bytes - c.namespace.bytes}}
			}
			got := c.limits.decide(c.bytes, quotaUsage{cluster: c.cluster, namespace: c.namespace, others: slices.Values(others)}, c.wishes)
			var granted, skipped []string
			for _, w := range got.Granted {
				granted = append(granted, w.Webhook)
			}
			for _, w := range got.Full {
				skipped = append(skipped, w.Webhook)
			}
			refused := ""
			if got.Refused != nil {
				refused = got.Refused.Reason
				if (refused == QuotaExceedsLimits) != c.never {
					t.Errorf("refused with %s", refused)
				}
			}
			if !reflect.DeepEqual(granted, c.granted) || !reflect.DeepEqual(skipped, c.skipped) || refused != c.refused {
				t.Errorf("granted %v, skipped %v, refused %q; want %v, %v, %q", granted, skipped, refused, c.granted, c.skipped, c.refused)
			}
		})
	}
}

func TestBurstReservesNoMoreThanTheQuota(t *testing.T) {
	x := NewDeliveryIndex(time.Now)
	limits := BacklogLimits{PerWebhook: 50, PerNamespace: 1000, PerNamespaceBytes: 1 << 20, Cluster: 10_000, ClusterBytes: 1 << 30}
	var granted sync.Map
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			a := x.ReserveQuota(limits, "a", 10, []QuotaRequest{{Webhook: "hook", WebhookID: "wh_hook"}})
			if len(a.Granted) == 1 {
				granted.Store(i, true)
			}
		})
	}
	wg.Wait()
	n := 0
	granted.Range(func(any, any) bool { n++; return true })
	if n != 50 || x.reserved.total != (backlogUsage{50, 500}) {
		t.Fatalf("granted %d, reserved %v; want 50", n, x.reserved.total)
	}
	for range 50 {
		x.ReleaseQuota("a", "hook", 10)
	}
	if x.reserved.total != (backlogUsage{}) || len(x.reserved.namespaces) != 0 {
		t.Errorf("after release %s are reserved", fmt.Sprint(x.reserved))
	}
}
