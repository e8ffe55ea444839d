// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/dispatcher"
)

func TestTextIsShownAsItIsAndHarmless(t *testing.T) {
	for text, want := range map[string]string{
		"<b>&\"'":                           "&lt;b&gt;&amp;&#34;&#39;",
		"a\u202eb":                          `a<span class="ctl">U+202E</span>b`,
		"\x00\x1b":                          "<span class=\"ctl\">\u2400</span><span class=\"ctl\">\u241b</span>",
		"two\n\tlines":                      "two\n\tlines",
		"👩\u200d🚀 ümläut 中文":                "👩\u200d🚀 ümläut 中文",
		"\u3164":                            `<span class="ctl">U+3164</span>`,
		"bad\xffbyte":                       "bad\ufffdbyte",
		"z" + strings.Repeat("\u0301", 500): "z" + strings.Repeat("\u0301", maxMarks),
	} {
		if got := string(shownText(text)); got != want {
			t.Errorf("shownText(%q) = %q, want %q", text, got, want)
		}
	}
	if got := plainText("a\u202eb<"); got != "aU+202Eb<" {
		t.Errorf("plainText = %q", got)
	}
}

func FuzzShownTextHasNoMarkupAndNothingHidden(f *testing.F) {
	f.Add("<a href=x>\u202e\x00\xff")
	f.Fuzz(func(t *testing.T, text string) {
		shown := string(shownText(text))
		rest := strings.ReplaceAll(strings.ReplaceAll(shown, `<span class="ctl">`, ""), "</span>", "")
		if strings.ContainsAny(rest, "<>\"'") {
			t.Fatalf("%q gives %q", text, shown)
		}
		for _, r := range rest {
			if unicode.IsControl(r) && r != '\n' && r != '\t' || unicode.Is(unicode.Bidi_Control, r) {
				t.Fatalf("%q gives %q, with %U", text, shown, r)
			}
		}
	})
}

func TestDurationsReadLikeSpeech(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 35 * time.Millisecond: "35 ms", 1250 * time.Millisecond: "1.25 s", 5 * time.Second: "5 s", 59600 * time.Millisecond: "60 s",
		65 * time.Second: "1 min 5 s", 2 * time.Minute: "2 min", 24 * time.Hour: "1 d", 26*time.Hour + 5*time.Minute: "1 d 2 h", 72 * time.Hour: "3 d",
		time.Hour + 5*time.Second: "1 h",
	} {
		if got := shownDuration(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

func TestAPartIsNeverAllAndNeverNone(t *testing.T) {
	for _, c := range []struct{ part, whole, want int }{{0, 0, 0}, {0, 9, 0}, {9, 9, 100}, {999, 1000, 99}, {1, 1000, 1}, {1, 2, 50}, {2, 3, 67}} {
		if got := share(c.part, c.whole); got != c.want {
			t.Errorf("share(%d, %d) = %d, want %d", c.part, c.whole, got, c.want)
		}
	}
}

func TestEveryReasonOfAFailureIsExplained(t *testing.T) {
	_, unknown := explainReason("no such reason", nil)
	for _, reason := range dispatcher.Reasons() {
		title, advice := explainReason(string(reason), new(http.StatusTeapot))
		if title == "" || advice == "" || advice == unknown && reason != dispatcher.ReasonRequestInvalid {
			t.Errorf("%s: nothing says what to do", reason)
		}
	}
	for status := 100; status < 600; status++ {
		if _, advice := explainStatus(&status); advice == "" {
			t.Errorf("%d: nothing says what to do", status)
		}
	}
}

func TestACookieGoesWithoutSecureOnThisMachineOnly(t *testing.T) {
	for _, c := range []struct {
		host, remote, forwarded string
		want                    bool
	}{
		{"localhost:8080", "127.0.0.1:5", "", true}, {"127.0.0.1", "127.0.0.1:5", "", true}, {"[::1]:80", "[::1]:5", "", true},
		{"webhooks.localhost", "127.0.0.1:5", "", true}, {"localhost", "10.0.0.7:5", "", false}, {"example.com", "127.0.0.1:5", "", false},
		{"localhost.example.com", "127.0.0.1:5", "", false}, {"localhost", "127.0.0.1:5", "https", false}, {"localhost", "", "", false},
	} {
		request := &http.Request{Host: c.host, RemoteAddr: c.remote, Header: http.Header{}}
		if c.forwarded != "" {
			request.Header.Set("X-Forwarded-Proto", c.forwarded)
		}
		if got := isLoopback(request); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// at is a time of an example, in seconds after its beginning.
func at(seconds float64) time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
}

func TestATimelineIsDrawnToScaleAndCutWhereNothingHappens(t *testing.T) {
	delays, timeout := defaultPolicy()
	status := 500
	reason := "HTTPStatus"
	d := &Delivery{DeliveryDetail: rest.DeliveryDetail{Delivery: rest.Delivery{CreatedAt: at(0), Attempts: 3}}}
	for i, start := range []float64{0, 5, 7220} {
		d.AttemptLog = append(d.AttemptLog, rest.Attempt{Number: i + 1, StartedAt: at(start), DurationMS: 10, ResponseStatus: &status, Reason: &reason})
	}
	rows := attemptRows(d, delays)
	s := scaleOf(d.CreatedAt, lanesOf(d, rows, delays), delays, timeout)
	if len(s.segments) != 2 {
		t.Fatalf("two hours without anything are not cut out: %v", s.segments)
	}
	five, ten := s.x(at(5))-s.x(at(0)), s.x(at(10))-s.x(at(5))
	if five <= 0 || five-ten > 0.01 || ten-five > 0.01 {
		t.Errorf("5 s take %f and %f", five, ten)
	}
	if got := *rows[1].Due; !got.Equal(at(5.01)) {
		t.Errorf("attempt 2 was due at %v", got)
	}
	drawing := string(drawTimeline(d, rows, delays, timeout))
	if strings.Count(drawing, `class="bar bad"`) != 3 || strings.Count(drawing, `class="cut"`) != 1 {
		t.Error(drawing)
	}
}

func TestATimelineShowsWhatIsToCome(t *testing.T) {
	delays, timeout := defaultPolicy()
	reason := "Timeout"
	d := &Delivery{DeliveryDetail: rest.DeliveryDetail{Delivery: rest.Delivery{CreatedAt: at(0), Attempts: 2, NextAttemptAt: new(at(40))}}}
	d.AttemptLog = []rest.Attempt{
		{Number: 1, StartedAt: at(0), DurationMS: 10000, Reason: &reason}, {Number: 2, StartedAt: at(15), DurationMS: 10000, Reason: &reason},
	}
	lanes := lanesOf(d, attemptRows(d, delays), delays)
	var due []time.Time
	for _, l := range lanes {
		due = append(due, l.due)
	}
	if want := []time.Time{at(0), at(15), at(40), at(85), at(205)}; !slices.EqualFunc(due, want, time.Time.Equal) {
		t.Errorf("due at %v", due)
	}
	if drawing := string(drawTimeline(d, nil, delays, timeout)); !strings.Contains(drawing, "still to come 3") {
		t.Error(drawing)
	}
}

func TestAPlotShowsSharesWithoutColour(t *testing.T) {
	s := summarise([]Outcome{{Succeeded: true, Took: 10 * time.Millisecond}, {Took: time.Second}, {Succeeded: true, Took: 10 * time.Second}})
	if s.Share != 67 || s.Median != 10*time.Second || s.Slowest != 10*time.Second {
		t.Errorf("%+v", s)
	}
	if barHeight(10*time.Millisecond) != shortestBar || barHeight(time.Minute) != barUp {
		t.Error("bars are not as high as deliveries took long")
	}
	plot := string(s.Plot)
	if !strings.Contains(plot, "Of the last 3 deliveries 2 succeeded.") || strings.Count(plot, "z") != 3 {
		t.Error(plot)
	}
	if s := summarise(nil); s.Known {
		t.Error("what may not be known is shown as known")
	}
}
