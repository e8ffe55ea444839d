// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"fmt"
	"html/template"
	"strconv"
	"strings"
	"time"
	"unicode"

	"bbmcp.quietstack.com/webhooks/internal/text"
)

// maxMarks is how many combining marks may stand on one character: no script
// needs more, and with hundreds a line grows over its neighbours.
const maxMarks = 4

// textFuncs are the functions of the templates.
func textFuncs(now func() time.Time) template.FuncMap {
	return template.FuncMap{
		"text":     escapeText,
		"plain":    plainText,
		"time":     func(at any) template.HTML { return formatTime(at, "") },
		"relative": func(at any) template.HTML { return formatTime(at, relativeTime(at, now())) },
		"duration": formatDuration,
		"bytes":    formatBytes,
		"count":    formatCount,
		"deref":    derefText,
		"list":     func(items ...string) []string { return items },
	}
}

// visibleText is the visible replacement of a character that would hide, reverse or move
// text; "": the character is harmless.
func visibleText(r rune) string {
	switch {
	case r == '\n' || r == '\t':
		return ""
	case r < 0x20:
		return string(rune(0x2400) + r)
	case r == 0x7f:
		return "\u2421"
	case r >= 0x80 && r < 0xa0,
		unicode.Is(unicode.Cf, r) && r != 0x200d, // direction, invisible; not the joiner of emoji
		r == 0x2028 || r == 0x2029,
		unicode.Is(unicode.Co, r), r >= 0xfff0 && r < 0xfffd,
		r == 0x115f, r == 0x1160, r == 0x3164, r == 0xffa0, r == 0x2800: // blank letters
		return fmt.Sprintf("U+%04X", r)
	}
	return ""
}

// escapeText makes untrusted text safe for a page: markup is escaped, and invisible or
// direction-changing characters are replaced by their visible forms.
func escapeText(text any) template.HTML {
	var out strings.Builder
	marks := 0
	for _, r := range textFrom(text) {
		if unicode.Is(unicode.Mn, r) || unicode.Is(unicode.Me, r) {
			marks++
			if marks > maxMarks {
				continue
			}
		} else {
			marks = 0
		}
		if p := visibleText(r); p != "" {
			out.WriteString(`<span class="ctl">` + p + `</span>`)
			continue
		}
		switch r {
		case '&':
			out.WriteString("&amp;")
		case '<':
			out.WriteString("&lt;")
		case '>':
			out.WriteString("&gt;")
		case '"':
			out.WriteString("&#34;")
		case '\'':
			out.WriteString("&#39;")
		default:
			out.WriteRune(r)
		}
	}
	return template.HTML(out.String()) //nolint:gosec // every character was escaped above
}

// plainText does the same for attributes, where markup has no meaning.
func plainText(text any) string {
	var out strings.Builder
	for _, r := range textFrom(text) {
		if p := visibleText(r); p != "" {
			out.WriteString(p)
			continue
		}
		out.WriteRune(r)
	}
	return out.String()
}

func textFrom(value any) string {
	switch typed := value.(type) {
	case string:
		return typed
	case *string:
		if typed == nil {
			return ""
		}
		return *typed
	case fmt.Stringer:
		return typed.String()
	}
	return fmt.Sprint(value)
}

// formatTime formats a time in UTC; the script converts it to local time. words replace
// the time, if they are not empty.
func formatTime(value any, words string) template.HTML {
	at := timeFrom(value)
	if at.IsZero() {
		return `<span class="none">never</span>`
	}
	at = at.UTC()
	utc := at.Format("2006-01-02 15:04:05") + " UTC"
	shown, kind := utc, "moment"
	if words != "" {
		shown, kind = words, "relative"
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s" title="%s" data-%s>%s</time>`, //nolint:gosec // made of numbers
		at.Format("2006-01-02T15:04:05.000Z"), utc, kind, shown))
}

func timeFrom(value any) time.Time {
	switch typed := value.(type) {
	case time.Time:
		return typed
	case *time.Time:
		if typed != nil {
			return *typed
		}
	}
	return time.Time{}
}

// relativeTime says how long ago, or in how long, in one unit. The script uses the same
// words; see dashboard.js.
func relativeTime(value any, now time.Time) string {
	at := timeFrom(value)
	if at.IsZero() {
		return ""
	}
	past := now.Sub(at)
	d := past.Abs()
	var words string
	switch {
	case d < time.Second:
		return "now"
	case d < time.Minute:
		words = fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		words = fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		words = fmt.Sprintf("%d h", int(d.Hours()))
	default:
		words = fmt.Sprintf("%d d", int(d.Hours()/24))
	}
	if past < 0 {
		return "in " + words
	}
	return words + " ago"
}

// formatDuration formats a time.Duration, or a number of milliseconds.
func formatDuration(value any) string {
	var d time.Duration
	switch typed := value.(type) {
	case time.Duration:
		d = typed
	case int64:
		if typed == 0 {
			return "under 1 ms"
		}
		d = time.Duration(typed) * time.Millisecond
	}
	switch {
	case d < 0:
		return "−" + formatDuration(-d)
	case d == 0:
		return "0 s"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < 10*time.Second && d%time.Second != 0:
		return strconv.FormatFloat(d.Round(10*time.Millisecond).Seconds(), 'f', -1, 64) + " s"
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Round(time.Second).Seconds()))
	}
	d = d.Round(time.Second)
	var parts []string
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "min"}, {time.Second, "s"}} {
		if n := d / unit.size; n > 0 && len(parts) < 2 {
			parts = append(parts, fmt.Sprintf("%d %s", n, unit.name))
			d %= unit.size
		} else if len(parts) > 0 {
			break
		}
	}
	return strings.Join(parts, " ")
}

func formatBytes(value any) string {
	var n float64
	switch typed := value.(type) {
	case int:
		n = float64(typed)
	case int64:
		n = float64(typed)
	}
	for _, unit := range []string{"B", "KiB", "MiB"} {
		if n < 1024 {
			return strconv.FormatFloat(float64(int(n*10))/10, 'f', -1, 64) + " " + unit
		}
		n /= 1024
	}
	return strconv.FormatFloat(float64(int(n*10))/10, 'f', -1, 64) + " GiB"
}

// formatCount groups digits by narrow spaces.
func formatCount(value any) string {
	digits := fmt.Sprint(value)
	for at := len(digits) - 3; at > 0; at -= 3 {
		digits = digits[:at] + "\u202f" + digits[at:]
	}
	return digits
}

func derefText(value any) any {
	switch typed := value.(type) {
	case *int:
		if typed != nil {
			return *typed
		}
	case *string:
		if typed != nil {
			return *typed
		}
	}
	return ""
}

// percentage is part of whole in percent: 100 only if it is all, 0 only if it is none.
func percentage(part, whole int) int {
	switch {
	case whole <= 0 || part <= 0:
		return 0
	case part >= whole:
		return 100
	}
	return min(99, max(1, (part*100+whole/2)/whole))
}

// truncateText returns the beginning of a text of at most this many bytes, and how many bytes
// are left.
func truncateText(full string, limit int) (beginning string, left int) {
	beginning = text.Truncate(full, limit)
	return beginning, len(full) - len(beginning)
}

// toSentence begins with a capital and ends with a full stop.
func toSentence(text string) string {
	if text == "" {
		return ""
	}
	text = strings.ToUpper(text[:1]) + text[1:]
	if !strings.ContainsAny(text[len(text)-1:], ".!?") {
		text += "."
	}
	return text
}
