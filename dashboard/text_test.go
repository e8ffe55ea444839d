// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"

	"bbmcp.quietstack.com/webhooks/api/rest"
	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/internal/retry"
)

func TestTextIsEscaped(t *testing.T) {
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
		if got := string(escapeText(text)); got != want {
			t.Errorf("shownText(%q) = %q, want %q", text, got, want)
		}
	}
	if got := plainText("a\u202eb<"); got != "aU+202Eb<" {
		t.Errorf("plainText = %q", got)
	}
}

func FuzzEscapeText(f *testing.F) {
	f.Add("<a href=x>\u202e\x00\xff")
	f.Fuzz(func(t *testing.T, text string) {
		shown := string(escapeText(text))
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

func TestFormatDuration(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0 s", 35 * time.Millisecond: "35 ms", 1250 * time.Millisecond: "1.25 s", 5 * time.Second: "5 s", 59600 * time.Millisecond: "60 s",
		65 * time.Second: "1 min 5 s", 2 * time.Minute: "2 min", 24 * time.Hour: "1 d", 26*time.Hour + 5*time.Minute: "1 d 2 h", 72 * time.Hour: "3 d",
		time.Hour + 5*time.Second: "1 h",
	} {
		if got := formatDuration(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

func TestPercentageRoundsInwards(t *testing.T) {
	for _, c := range []struct{ part, whole, want int }{{0, 0, 0}, {0, 9, 0}, {9, 9, 100}, {999, 1000, 99}, {1, 1000, 1}, {1, 2, 50}, {2, 3, 67}} {
		if got := percentage(c.part, c.whole); got != c.want {
			t.Errorf("share(%d, %d) = %d, want %d", c.part, c.whole, got, c.want)
		}
	}
}

func TestEveryFailureReasonIsExplained(t *testing.T) {
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

func TestCookieIsInsecureOnLoopbackOnly(t *testing.T) {
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
		if got := isLoopbackRequest(request); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

// at is a time of an example, in seconds after its beginning.
func at(seconds float64) time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
}

func TestTimelineIsToScaleWithCuts(t *testing.T) {
	delays, timeout := retry.DefaultPolicy().Delays, retry.DefaultPolicy().Timeout
	status := 500
	reason := "HTTPStatus"
	d := &Delivery{DeliveryDetail: rest.DeliveryDetail{Delivery: rest.Delivery{CreatedAt: at(0), Attempts: 3}}}
	for i, start := range []float64{0, 5, 7220} {
		d.AttemptLog = append(d.AttemptLog, rest.Attempt{Number: i + 1, StartedAt: at(start), DurationMS: 10, ResponseStatus: &status, Reason: &reason})
	}
	rows := attemptRows(d, delays)
	s := newTimelineScale(wideMeasures, d.CreatedAt, newTimelineLanes(d, rows, delays), delays, timeout)
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
	if strings.Count(drawing, `class="bar bad"`) != 6 || strings.Count(drawing, `class="cut"`) != 2 { // two drawings
		t.Error(drawing)
	}
}

func TestTimelineShowsScheduledAttempts(t *testing.T) {
	delays, timeout := retry.DefaultPolicy().Delays, retry.DefaultPolicy().Timeout
	reason := "Timeout"
	d := &Delivery{DeliveryDetail: rest.DeliveryDetail{Delivery: rest.Delivery{CreatedAt: at(0), Attempts: 2, NextAttemptAt: new(at(40))}}}
	d.AttemptLog = []rest.Attempt{
		{Number: 1, StartedAt: at(0), DurationMS: 10000, Reason: &reason}, {Number: 2, StartedAt: at(15), DurationMS: 10000, Reason: &reason},
	}
	lanes := newTimelineLanes(d, attemptRows(d, delays), delays)
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

func TestPlotIsReadableWithoutColour(t *testing.T) {
	s := summarizeHealth(Health{Recent: []Outcome{{Succeeded: true, Took: 10 * time.Millisecond}, {Took: time.Second}, {Succeeded: true, Took: 10 * time.Second}}})
	if s.Share != 67 || s.Median != 10*time.Second || s.Slowest != 10*time.Second {
		t.Errorf("%+v", s)
	}
	if healthBarHeight(10*time.Millisecond) != shortestBar || healthBarHeight(time.Minute) != barUp {
		t.Error("bars are not as high as deliveries took long")
	}
	plot := string(s.Plot)
	if !strings.Contains(plot, "Of the last 3 deliveries 2 succeeded.") || strings.Count(plot, "z") != 3 {
		t.Error(plot)
	}
	if s := summarizeHealth(Health{}); s.Known {
		t.Error("what may not be known is shown as known")
	}
}

// What has no object counts too: with failures on record always and successes only
// within a budget, objects alone would tell of an endpoint that fails often.
func TestSummaryCountsUnrecordedSuccesses(t *testing.T) {
	recent := []Outcome{{Succeeded: true, Took: time.Second}, {}, {Succeeded: true, Took: time.Second, Untold: 97}}
	if s := summarizeHealth(Health{Recent: recent}); s.Total != 100 || s.Succeeded != 99 || s.Share != 99 || s.Drawn != 3 || !strings.Contains(string(s.Plot), "Of the last 100 deliveries 99 succeeded.") {
		t.Errorf("%+v", s)
	}
	s := summarizeHealth(Health{Recent: []Outcome{{}}, Unsampled: true, Succeeded: 999, Failed: 1})
	if s.Total != 1000 || s.Share != 99 || !s.Ever || !strings.Contains(string(s.Plot), "Of 1000 deliveries ever 999 succeeded.") {
		t.Errorf("of a webhook that records no successes: %+v", s)
	}
	if s := summarizeHealth(Health{Recent: []Outcome{}, Unsampled: true, Succeeded: 10}); s.Share != 100 || s.Plot != "" {
		t.Errorf("of one that has no objects at all: %+v", s)
	}
}

// tickTexts are where the texts over an axis are, and what they say.
var tickTexts = regexp.MustCompile(`<text class="tick" x="([0-9.]+)" y="12" text-anchor="middle">([^<]+)</text>`)

func TestAxisLabelsDoNotOverlap(t *testing.T) {
	reason := "ConnectionRefused"
	delays := []time.Duration{time.Second, 2 * time.Second, time.Minute, time.Hour, 24 * time.Hour}
	for _, starts := range [][]float64{{0}, {0, 1, 3}, {0, 1, 3, 63, 3663}, {0, 200000, 400000, 600000, 800000}, {0, 7220}, {0, 0.05, 0.1}} {
		d := &Delivery{DeliveryDetail: rest.DeliveryDetail{Delivery: rest.Delivery{CreatedAt: at(0), Attempts: len(starts)}}}
		for i, start := range starts {
			d.AttemptLog = append(d.AttemptLog, rest.Attempt{Number: i + 1, StartedAt: at(start), DurationMS: 10, Reason: &reason})
		}
		for _, drawing := range strings.SplitAfter(string(drawTimeline(d, attemptRows(d, delays), delays, 10*time.Second)), "</svg>") {
			if drawing == "" {
				continue
			}
			width := wideMeasures.width
			if strings.Contains(drawing, `"timeline narrow"`) {
				width = narrowMeasures.width
			}
			end := 0.0
			found := tickTexts.FindAllStringSubmatch(drawing, -1)
			slices.SortFunc(found, func(a, b []string) int { return cmp.Compare(number(t, a[1]), number(t, b[1])) })
			if len(found) == 0 {
				t.Errorf("%v: nothing is written on the axis: %s", starts, drawing)
			}
			for _, text := range found {
				half := float64(len([]rune(text[2]))) * letterWidth / 2
				begin := number(t, text[1]) - half
				if begin < end-0.1 || begin+2*half > float64(width)+0.1 {
					t.Errorf("%v: %q runs from %.1f, the one before ends at %.1f, the drawing at %d", starts, text[2], begin, end, width)
				}
				end = begin + 2*half
			}
		}
	}
}

func number(t *testing.T, text string) float64 {
	t.Helper()
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestWebhooksThatDeliverNothingComeFirst(t *testing.T) {
	row := func(name, status string, change func(*webhookRow)) webhookRow {
		r := webhookRow{Webhook: rest.Webhook{Name: name, Status: status}}
		if change != nil {
			change(&r)
		}
		r.State = webhookState(r.Webhook)
		return r
	}
	rows := []webhookRow{
		row("a", rest.WebhookActive, nil),
		row("b", rest.WebhookActive, func(r *webhookRow) { r.Suspended = true }),
		row("c", rest.WebhookFailing, func(r *webhookRow) { r.Health.Latest = "the endpoint answered 500" }),
		row("d", rest.WebhookActive, func(r *webhookRow) {
			r.EndpointHealth = rest.EndpointHealth{Healthy: new(false), Message: "attempts fail"}
		}),
		row("e", rest.WebhookActive, func(r *webhookRow) { r.Health.Problem = "no secret" }),
		row("f", rest.WebhookDisabled, nil),
	}
	slices.SortFunc(rows, func(a, b webhookRow) int { return strings.Compare(a.sortKey(), b.sortKey()) })
	var got []string
	for _, r := range rows {
		got = append(got, r.Name+" "+r.State+" "+r.Why())
	}
	if want := []string{"e active no secret", "f disabled ", "c failing the endpoint answered 500", "d failing attempts fail", "a active ", "b suspended "}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestReadSettings(t *testing.T) {
	now := &rest.Webhook{
		RetryPolicy: rest.RetryPolicy{Delays: []string{"5s", "1m"}, Timeout: "10s"}, DeliveryDeadline: "72h", Overflow: "Skip",
		Retention: rest.Retention{Failed: new("48h"), MaxCount: new(5), Record: "Budgeted"},
	}
	tests := []struct {
		name, form, want string
		now              *rest.Webhook
	}{
		{"nothing is changed by a form that has none of them", "", `{} []`, now},
		{"nothing is changed by what stands there already", "retry-delays=5s%2C+1m&retry-timeout=10s&retry-jitter=0&overflow=&retention-failed=48h&retention-max-count=5&retention-record=", `{} []`, now},
		{"nothing is asked for a new one by an empty form", "retry-delays=&overflow=&retention-failed=", `{} []`, nil},
		{"some of a new one", "retry-delays=1s,2s&overflow=Refuse&retention-max-count=7", `{"retry_policy":{"delays":["1s","2s"]},"overflow":"Refuse","retention":{"max_count":7}} []`, nil},
		{"what is typed", "retry-delays=none&retry-jitter=20&retention-failed=1h", `{"retry_policy":{"delays":[],"jitter_percent":20},"retention":{"failed":"1h"}} []`, now},
		{"what is emptied", "retry-delays=&overflow=&retention-max-count=", `{} [retry_policy.delays overflow retention.max_count]`, func() *rest.Webhook {
			refusing := *now
			refusing.Overflow = "Refuse"
			return &refusing
		}()},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			form, err := url.ParseQuery(tt.form)
			if err != nil {
				t.Fatal(err)
			}
			change, defaults, err := diffSettings(readSettingInputs(form, tt.now), tt.now)
			if err != nil {
				t.Fatal(err)
			}
			text, err := json.Marshal(change)
			if got := string(text) + " " + fmt.Sprint(defaults); err != nil || got != tt.want {
				t.Errorf("got %s, want %s (%v)", got, tt.want, err)
			}
		})
	}
	_, _, err := diffSettings(readSettingInputs(url.Values{"retry-jitter": {"much"}}, now), now)
	if wrong := newPageError(err); wrong.fieldDetail("retry_policy.jitter_percent") == "" || !wrong.isFormError() {
		t.Errorf("got %+v", wrong)
	}
}
