// SPDX-License-Identifier: Apache-2.0

package skipped_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/internal/skipped"
)

func TestReportsAreReadAsTheyWereWritten(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 5000, time.UTC)
	r := skipped.Report{Sequence: 7, Begun: 5, Counts: map[skipped.Webhook]skipped.Count{
		{Namespace: "a", Name: "orders", UID: "1"}: {Full: 3, Last: now},
		{Namespace: "a", Name: "orders", UID: "2"}: {Disabled: 1, Last: now},
		{Namespace: "b", Name: "orders", UID: "3"}: {Full: 1, Disabled: 2, Last: now.Add(time.Second)},
	}}
	text := skipped.Encode(r)
	got, err := skipped.Decode(text)
	if err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("got %+v, %v\nwant %+v", got, err, r)
	}
	if again := skipped.Encode(got); again != text {
		t.Errorf("got %s\nwant %s", again, text)
	}
}

func TestAReportThatWasTakenIsEmpty(t *testing.T) {
	r := skipped.Report{Sequence: 7, Taken: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC), Counts: map[skipped.Webhook]skipped.Count{}}
	if got, err := skipped.Decode(skipped.Encode(r)); err != nil || !reflect.DeepEqual(got, r) {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestAFullReportIsShortEnough(t *testing.T) {
	r := skipped.Report{Sequence: 1 << 62, Counts: map[skipped.Webhook]skipped.Count{}}
	for i := range skipped.MaxWebhooks {
		webhook := skipped.Webhook{Namespace: strings.Repeat("n", 63), Name: strings.Repeat("x", 253), UID: types.UID(fmt.Sprintf("%036d", i))}
		r.Counts[webhook] = skipped.Count{Full: 1 << 40, Disabled: 1 << 40, Last: time.Now()}
	}
	text := skipped.Encode(r)
	if _, err := skipped.Decode(text); err != nil || len(text) > skipped.MaxBytes {
		t.Errorf("%d bytes, %v", len(text), err)
	}
}

func TestWhatIsNoReportIsRefused(t *testing.T) {
	for _, value := range []string{"", "x", "[]", `{"webhooks":[{"full":-1}]}`, `{"webhooks":[{"full":1099511627777}]}`, `{"webhooks":[{"disabled":9223372036854775807}]}`, `{"webhooks":[{"last":"yesterday"}]}`, strings.Repeat(" ", skipped.MaxBytes) + "{}"} {
		if r, err := skipped.Decode(value); err == nil {
			t.Errorf("%.20q: %+v", value, r)
		}
	}
}
