// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"bbmcp.quietstack.com/webhooks/bench/internal/report"
)

func TestDrawShowsWhatWasMeasured(t *testing.T) {
	inline, forwarder := report.New("inline"), report.New("forwarder")
	inline.Set(report.DeliveriesPerS, 5000)
	forwarder.Set(report.DeliveriesPerS, 10000)
	picture := string(Draw(&report.Report{
		Machine:   report.Machine{CPU: "A <CPU> & more", Cores: 2, Commit: "abc"},
		Scenarios: []*report.Scenario{inline, forwarder},
	}))
	for _, want := range []string{"Throughput", "5000", "10000", "sender on Redis", "1640", "A &lt;CPU&gt; &amp; more", "prefers-color-scheme: dark"} {
		if !strings.Contains(picture, want) {
			t.Errorf("%q is missing", want)
		}
	}
	for _, unwanted := range []string{"CPU for each delivery", "From publish to POST", "API server alone"} {
		if strings.Contains(picture, unwanted) {
			t.Errorf("%q was not measured", unwanted)
		}
	}
	// The longest bar takes all the room, half its value half of it.
	for _, want := range []string{`width="430.0"`, `width="215.0"`} {
		if !strings.Contains(picture, want) {
			t.Errorf("no bar of %s", want)
		}
	}
	decoder := xml.NewDecoder(strings.NewReader(picture))
	for {
		if _, err := decoder.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatalf("not XML: %v", err)
		}
	}
}

func TestDrawOfNothingIsAPicture(t *testing.T) {
	if picture := string(Draw(&report.Report{})); !strings.HasSuffix(picture, "</svg>\n") {
		t.Errorf("got %s", picture)
	}
}
