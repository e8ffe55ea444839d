// SPDX-License-Identifier: Apache-2.0

package netguard_test

import (
	"testing"

	"bbmcp.quietstack.com/webhooks/dispatcher/netguard"
)

func TestNamesThatOnlyTheInsideKnows(t *testing.T) {
	t.Parallel()
	policy := netguard.New(netguard.Options{Domains: []string{"svc.k8s.Example.org.", "corp.example.net", "com", "."}})
	for host, want := range map[string]bool{
		"postgres": true, "Postgres.": true, "localhost": true, "a.localhost": true, "printer.local": true,
		"kubernetes.default.svc": true, "kubernetes.default.SVC.cluster.local.": true, "a.b.svc.clusters.example.org": true, "10-0-0-1.shop.pod.example.org": true,
		"metadata.google.internal": true, "router.home.arpa": true, "wiki.corp": true, "nas.lan": true, "a.intranet": true,
		"a.shop.svc.k8s.example.org": true, "db.corp.example.net": true,

		"example.com": false, "hooks.example.com": false, "svc.example.com": false, "api.svc-example.com": false, "pod.example.com": false,
		"corp.example.net": false, "notcorp.example.net": false, "internal.example.com": false, "mylocal": true, "cluster.local.example.com": false,
		"10.0.0.1": false, "0x7f.1": false, "::1": false,
	} {
		if got := policy.IsInternalName(host); got != want {
			t.Errorf("%s: got %t, want %t", host, got, want)
		}
	}
}
