// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// changeAttacks keep the controllers busy.
func changeAttacks() []attack {
	return []attack{
		{name: "objects that change all the time", arrange: declareChanging, act: changeObjects},
	}
}

// declareChanging gives the attacker some webhooks to change.
func declareChanging(s *scene) {
	s.token("admin", "bbmcp-admin")
	s.Cleanup(s.dropWebhooks)
}

// changeObjects makes, changes and deletes webhooks with all that fits into them.
func changeObjects(a *attacker) {
	events := make([]string, 64)
	for i := range events {
		events[i] = fmt.Sprintf("t%d.%s", i, strings.Repeat("a", 100))
	}
	large := map[string]string{"example.com/large": strings.Repeat("x", 50<<10)}
	labels := map[string]string{v1alpha1.OriginLabel: v1alpha1.OriginGateway}
	for i := range 30 {
		labels[fmt.Sprint("example.com/l", i)] = strings.Repeat("v", 63)
	}
	a.pace(3, 6, func(i int) {
		name := fmt.Sprint("changing-", i)
		spec := map[string]any{"url": "http://127.1.0.1:9/" + strings.Repeat("p", 1900), "events": events, "description": strings.Repeat("d", 1000)}
		a.create("webhooks", a.Namespace, map[string]any{"name": name, "annotations": large, "labels": labels}, spec)
		for n := range 5 {
			annotations := maps.Clone(large)
			annotations[v1alpha1.RotateRequestedAtAnnotation] = fmt.Sprint(time.Now().UnixNano())
			annotations[v1alpha1.EnableRequestedAtAnnotation] = fmt.Sprint(n)
			text, _ := json.Marshal(annotations)
			a.change("webhooks", name, fmt.Sprintf(`{"metadata":{"annotations":%s},"spec":{"suspend":%t,"url":"http://127.1.0.1:9/%d"}}`, text, n%2 == 0, n))
		}
		if i%2 == 0 {
			a.api("DELETE", "webhooks", a.Namespace, name, "", nil)
		}
	})
}
