// SPDX-License-Identifier: Apache-2.0

package manifests

import (
	"maps"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"sigs.k8s.io/yaml"
)

// clusterRoles are the ClusterRoles of config/rbac by name.
func clusterRoles(t *testing.T) map[string]rbacv1.ClusterRole {
	t.Helper()
	all := map[string]rbacv1.ClusterRole{}
	for _, file := range glob(t, "config/rbac/*.yaml") {
		for document := range strings.SplitSeq(string(read(t, file)), "\n---\n") {
			var role rbacv1.ClusterRole
			if err := yaml.Unmarshal([]byte(document), &role); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			if role.Kind == "ClusterRole" {
				all[role.Name] = role
			}
		}
	}
	return all
}

// rights spells rules as "verb resource", sorted.
func rights(rules []rbacv1.PolicyRule) []string {
	all := map[string]bool{}
	for _, rule := range rules {
		for _, verb := range rule.Verbs {
			for _, resource := range slices.Concat(rule.Resources, rule.NonResourceURLs) {
				all[verb+" "+resource] = true
			}
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// every spells all verbs on one resource.
func every(resource string, verbs ...string) []string {
	var all []string
	for _, verb := range verbs {
		all = append(all, verb+" "+resource)
	}
	return all
}

func TestRolesHoldThisAndNothingElse(t *testing.T) {
	readVerbs := []string{"get", "list", "watch"}
	writeVerbs := []string{"create", "update", "patch", "delete", "deletecollection"}
	keys := []string{"get /.well-known/openid-configuration", "get /openid/v1/jwks"}
	secretVerbs := []string{"create", "update"} // nothing that reads: the answer to a patch is the whole Secret
	for _, c := range []struct {
		role, aggregatesTo string
		want               []string
	}{
		{"bbmcp-viewer", "view", slices.Concat(every("webhooks", readVerbs...), every("eventtypes", readVerbs...))},
		{"bbmcp-delivery-viewer", "edit", every("webhookdeliveries", readVerbs...)},
		{"bbmcp-editor", "edit", slices.Concat(every("webhooks", readVerbs...), every("webhooks", writeVerbs...),
			every("webhookdeliveries", readVerbs...), every("webhookdeliveries", "patch"), every("secrets", secretVerbs...))},
		{"bbmcp-publisher", "", []string{"publish eventtypes"}},
		{"bbmcp-admin", "admin", slices.Concat(every("webhooks", readVerbs...), every("webhooks", writeVerbs...),
			every("webhookdeliveries", readVerbs...), every("webhookdeliveries", writeVerbs...), every("secrets", secretVerbs...))},
		{"bbmcp-metrics-reader", "", []string{"get /metrics"}},
		{"bbmcp-metrics-auth", "", append([]string{"create subjectaccessreviews", "create tokenreviews"}, keys...)},
		{"bbmcp-manager", "", slices.Concat(
			every("secrets", "get", "create", "update"),
			every("webhooks", readVerbs...), every("eventtypes", readVerbs...),
			every("webhookdeliveries", readVerbs...), every("webhookdeliveries", "patch", "delete"),
			[]string{"update eventtypes/status", "update webhookdeliveries/status", "update webhooks/status"},
			every("events", "create", "patch"),
		)},
		{"bbmcp-gateway", "", slices.Concat(
			every("webhooks", readVerbs...), every("eventtypes", readVerbs...),
			every("webhookdeliveries", readVerbs...), every("webhookdeliveries", "create"), []string{"update webhookdeliveries/status"},
			every("tokenreviews", "create"), every("subjectaccessreviews", "create"), keys,
		)},
		{"bbmcp-gateway-signing", "", every("secrets", "get")},
	} {
		t.Run(c.role, func(t *testing.T) {
			role := clusterRoles(t)[c.role]
			if got, want := rights(role.Rules), slices.Sorted(slices.Values(c.want)); !slices.Equal(got, want) {
				t.Errorf("rights\n got %q\nwant %q", got, want)
			}
			var labels map[string]string
			if c.aggregatesTo != "" {
				labels = map[string]string{"rbac.authorization.k8s.io/aggregate-to-" + c.aggregatesTo: "true"}
			}
			if !maps.Equal(role.Labels, labels) {
				t.Errorf("labels %v, want %v", role.Labels, labels)
			}
		})
	}
	if got := len(clusterRoles(t)); got != 10 {
		t.Errorf("%d ClusterRoles, this test knows 10", got)
	}
}
