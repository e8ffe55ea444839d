// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// pageAttacks are objects that cost whoever shows them.
func pageAttacks() []attack {
	return []attack{
		{name: "pages of what is nested deeply", arrange: createNested, act: readNested, after: (*scene).cheapPages, cores: 0.75},
	}
}

// nestedPayloads are bodies that take little room and grow when they are shown.
func nestedPayloads() []string {
	const most = 262_144
	begin := `{"event":"context.created","timestamp":"2024-01-15T10:30:00Z","data":`
	fill := func(before, each, after string) string {
		room := most - len(begin) - len(before) - len(after) - 2
		return begin + before + strings.TrimSuffix(strings.Repeat(each, room/len(each)), ",") + after + "}"
	}
	deep := func(n int) string { return begin + strings.Repeat("[", n) + strings.Repeat("]", n) + "}" }
	return []string{
		strings.Repeat("[", 8191) + strings.Repeat("]", 8191), strings.Repeat(`{"a":`, 2700) + "1" + strings.Repeat("}", 2700),
		deep(8100), deep(100_000), begin + strings.Repeat("[", 60) + strings.Repeat("[],", 5400) + "1" + strings.Repeat("]", 60) + "}", begin + strings.Repeat("[", 200_000), begin + strings.Repeat(`{"a":`, 40_000),
		fill(strings.Repeat("[", 60), "[],", strings.Repeat("]", 60)),
		fill(`{"a":`+strings.Repeat("[", 60), "1,", strings.Repeat("]", 60)+"}"),
		fill(`{"a":"`, `\"`, `"}`),
		begin + `{"a":"` + strings.Repeat("<&>", 16_000) + `"}}`,
		fill(`{"a":[`, `"",`, `]}`),
	}
}

func createNested(s *scene) {
	hook := newProductWebhook(s.namespace, "held", "http://127.1.0.1:9/")
	hook.Spec.Suspend = true
	s.try(s.declare(s.ctx, hook))
	for i, payload := range nestedPayloads() {
		s.try(s.stack.Client.Create(s.ctx, newDelivery(s.namespace, fmt.Sprint("nested-", i), hook.Name, payload)))
	}
	s.token("viewer", "bbmcp-viewer", "bbmcp-delivery-viewer")
}

// deliveryIDs are those of the first webhook's deliveries, once there are so many.
func (a *attacker) deliveryIDs(token string, many int) (ids []string) {
	var hooks, list struct {
		Data []struct {
			WebhookID  string `json:"webhook_id"`
			DeliveryID string `json:"delivery_id"`
		}
	}
	for a.Err() == nil && len(list.Data) < many {
		_, text := a.do(call{method: "GET", path: "/v1/webhooks", token: token})
		if json.Unmarshal([]byte(text), &hooks) != nil || len(hooks.Data) == 0 {
			a.wait(50 * time.Millisecond)
			continue
		}
		_, text = a.do(call{method: "GET", path: "/v1/webhooks/" + hooks.Data[0].WebhookID + "/deliveries?limit=100", token: token})
		_ = json.Unmarshal([]byte(text), &list) // asked again
	}
	for _, one := range list.Data {
		ids = append(ids, one.DeliveryID)
	}
	return ids
}

func readNested(a *attacker) {
	token := a.Tokens["viewer"]
	ids := a.deliveryIDs(token, len(nestedPayloads()))
	if len(ids) == 0 {
		return
	}
	pages := []string{"/dashboard/ns/" + a.Namespace + "/deliveries/%s", "/dashboard/ns/" + a.Namespace + "/deliveries/%s/body", "/v1/deliveries/%s"}
	a.pace(inputsPerSecond, inputsAtATime, func(i int) {
		id := ids[i/len(pages)%len(ids)]
		a.do(call{method: "GET", path: fmt.Sprintf(pages[i%len(pages)], id), token: token})
	})
}

func (s *scene) cheapPages(found attackReport) {
	const largest = 4 << 20
	s.answersBelow500(found)
	s.cheaper(found, 50*time.Millisecond)
	if found.Largest > largest {
		s.Errorf("a page had %d bytes, at most %d may be", found.Largest, largest)
	}
}
