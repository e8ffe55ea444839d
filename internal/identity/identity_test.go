// SPDX-License-Identifier: Apache-2.0

package identity

import (
	"regexp"
	"strings"
	"testing"
)

func TestWebhookIDIsTheHashOfNamespaceAndName(t *testing.T) {
	// printf %s default/orders | sha256sum | cut -c1-16
	if got, want := WebhookID("default", "orders"), "wh_962fc807ee8f6dd9"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestDeliveryIDFollowsTheNameOfTheGateway(t *testing.T) {
	name := DeliveryName("evt_1", "uid-1")
	if !regexp.MustCompile(`^dlv-[a-z2-7]{32}$`).MatchString(name) {
		t.Fatalf("name %q has another form", name)
	}
	if got, want := DeliveryID(name, "any"), "dlv_"+name[len("dlv-"):]; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if DeliveryName("evt_1", "uid-1") == DeliveryName("evt_1", "uid-2") {
		t.Error("two webhooks share a delivery name")
	}
}

func TestDeliveryIDOfAnObjectNamedByHandFollowsItsUID(t *testing.T) {
	for _, name := range []string{"mine", "dlv-mine", "dlv-"} {
		id := DeliveryID(name, "uid-1")
		if !regexp.MustCompile(`^dlv_[a-z2-7]{32}$`).MatchString(id) {
			t.Errorf("id %q of %q has another form", id, name)
		}
		if id == DeliveryID(name, "uid-2") {
			t.Errorf("two objects named %q share an id", name)
		}
	}
}

func TestLabelValueFitsAndEndsInALetterOrDigit(t *testing.T) {
	long := strings.Repeat("a", 62)
	for name, want := range map[string]string{"orders.eu": "orders.eu", long + "bc": long + "b", long + ".c": long, long + "-.c": long} {
		if got := LabelValue(name); got != want {
			t.Errorf("got %q for %q, want %q", got, name, want)
		}
	}
}

func TestCloudEventIDIsThatOfSourceAndIDTogether(t *testing.T) {
	id := CloudEventID("/orders", "1")
	if !regexp.MustCompile(`^ce_[a-z2-7]{32}$`).MatchString(id) {
		t.Fatalf("id %q has another form", id)
	}
	for _, other := range []string{CloudEventID("/orders", "2"), CloudEventID("/order", "s1"), CloudEventID("/orders1", "")} {
		if other == id {
			t.Error("two events share an id")
		}
	}
}
