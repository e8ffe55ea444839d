// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func readLines(t *testing.T, text, eventType, batch, target string) []eventLine {
	t.Helper()
	reader := newLineReader(strings.NewReader(text), eventType, batch, target)
	var lines []eventLine
	for {
		line, err := reader.next()
		if errors.Is(err, io.EOF) {
			return lines
		}
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
}

func TestLines(t *testing.T) {
	t.Parallel()
	long := `{"event":"a","data":{"x":"` + strings.Repeat("y", maxLineBytes) + `"}}`
	type want struct {
		number  int
		body    string
		given   string
		problem string
	}
	for _, test := range []struct {
		name, text, eventType string
		want                  []want
	}{
		{"an event", `{"event":"a","data":{}}` + "\n", "", []want{{1, `{"event":"a","data":{}}`, "", ""}}},
		{"no line break at the end", `{"event":"a"}`, "", []want{{1, `{"event":"a"}`, "", ""}}},
		{"blank lines and white space", "\n  \r\n\t{\"event\":\"a\"} \r\n\n", "", []want{{3, `{"event":"a"}`, "", ""}}},
		{"a byte order mark", "\ufeff{\"event\":\"a\"}\n", "", []want{{1, `{"event":"a"}`, "", ""}}},
		{"an id of its own", `{"id":"x-1","event":"a"}`, "", []want{{1, `{"id":"x-1","event":"a"}`, "x-1", ""}}},
		{"an id that is no string is for the API to refuse", `{"id":7,"event":"a"}`, "", []want{{1, `{"id":7,"event":"a"}`, "", ""}}},
		{"a type for lines without one", "{\"data\":{}}\n{}\n{ }\n{\"event\":\"b\"}", "a<b", []want{
			{1, `{"event":"a<b","data":{}}`, "", ""}, {2, `{"event":"a<b"}`, "", ""}, {3, `{"event":"a<b"}`, "", ""}, {4, `{"event":"b"}`, "", ""},
		}},
		{"a member that only looks like it", `{"Event":"x","data":{"event":"y"}}`, "a", []want{{1, `{"event":"a","Event":"x","data":{"event":"y"}}`, "", ""}}},
		{"duplicate keys and odd numbers reach the API", `{"event":"a","data":{"x":1,"x":1E400}}`, "", []want{{1, `{"event":"a","data":{"x":1,"x":1E400}}`, "", ""}}},
		{"what is no JSON", "{\"event\":\n[1]\nnull\n\"a\"\n{} {}\n", "", []want{
			{1, "", "", "not JSON: unexpected end of JSON input (byte 9)"}, {2, "", "", "not a JSON object"},
			{3, "", "", "not a JSON object"}, {4, "", "", "not a JSON object"}, {5, "", "", "not JSON: invalid character '{' after top-level value (byte 4)"},
		}},
		{"a line that is far too long, and the next one", long + "\n{\"event\":\"a\"}\n", "", []want{{1, "", "", "longer than 2097152 bytes"}, {2, `{"event":"a"}`, "", ""}}},
		{"nothing", "", "", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			var got []want
			for _, line := range readLines(t, test.text, test.eventType, "batch", "target") {
				one := want{number: line.number, body: string(line.body)}
				if line.given {
					one.given = line.id
				}
				if line.err != nil {
					one.body, one.problem = "", line.err.Error()
				} else if !line.given && (len(line.id) != 37 || !strings.HasPrefix(line.id, "line_")) {
					t.Errorf("line %d has the id %q", line.number, line.id)
				}
				got = append(got, one)
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(want{})); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func ids(lines []eventLine) []string {
	var all []string
	for _, line := range lines {
		all = append(all, line.id)
	}
	return all
}

// What people do between two runs must not change the ids of other lines.
func TestIDsOfLines(t *testing.T) {
	t.Parallel()
	const a, b, c = `{"event":"a","data":{}}`, `{"event":"b","data":{}}`, `{"event":"c","data":{}}`
	join := func(lines ...string) string { return strings.Join(lines, "\n") }
	before := ids(readLines(t, join(a, b, a, "broken", c), "", "batch", "target"))
	if before[0] == before[2] {
		t.Error("two lines with the same text have the same id")
	}
	for _, test := range []struct {
		name, text string
		keep       map[int]int // line before: line after
	}{
		{"the same again", join(a, b, a, "broken", c), map[int]int{0: 0, 1: 1, 2: 2, 4: 4}},
		{"a line corrected", join(a, b, a, `{"event":"d"}`, c), map[int]int{0: 0, 1: 1, 2: 2, 4: 4}},
		{"a line removed", join(a, a, c), map[int]int{0: 0, 2: 1, 4: 2}},
		{"lines added", join(c, "", a, b, a, a), map[int]int{0: 1, 1: 2, 2: 3, 4: 0}},
		{"other ends of lines", strings.ReplaceAll(join(a, b, a, "broken", c), "\n", "\r\n"), map[int]int{0: 0, 1: 1, 2: 2, 4: 4}},
	} {
		after := ids(readLines(t, test.text, "", "batch", "target"))
		for from, to := range test.keep {
			if before[from] != after[to] {
				t.Errorf("%s: line %d had %s, now line %d has %s", test.name, from+1, before[from], to+1, after[to])
			}
		}
	}
	if other := ids(readLines(t, a, "", "another", "target")); other[0] == before[0] {
		t.Error("another batch has the same id")
	}
	here, there := readLines(t, a, "", "batch", "target")[0], readLines(t, a, "", "batch", "elsewhere")[0]
	if here.id != there.id || here.mark == there.mark {
		t.Error("another target must have the same id and another mark")
	}
	one, two := readLines(t, `{"id":"x","event":"a"}`, "", "", "")[0], readLines(t, `{"id":"x","event":"b"}`, "", "", "")[0]
	if one.mark == two.mark {
		t.Error("another event under the same id has the same mark")
	}
}

func TestNotes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "progress")
	lines := readLines(t, "{\"event\":\"a\"}\n{\"event\":\"b\"}\n{\"event\":\"c\"}", "", "", "")
	note := func(line eventLine) {
		t.Helper()
		notes, err := openNotes(path)
		if err != nil {
			t.Fatal(err)
		}
		defer notes.close()
		if err := notes.add(line); err != nil {
			t.Fatal(err)
		}
	}
	noted := func() (all []bool) {
		t.Helper()
		notes, err := openNotes(path)
		if err != nil {
			t.Fatal(err)
		}
		defer notes.close()
		for _, line := range lines {
			all = append(all, notes.has(line))
		}
		return all
	}
	if diff := cmp.Diff([]bool{false, false, false}, noted()); diff != "" {
		t.Error("a new file:", diff)
	}
	note(lines[0])
	note(lines[1])
	if diff := cmp.Diff([]bool{true, true, false}, noted()); diff != "" {
		t.Error("two notes:", diff)
	}
	// A crash cut the second note short.
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, content[:len(content)-10], 0o600); err != nil {
		t.Fatal(err)
	}
	note(lines[2])
	if diff := cmp.Diff([]bool{true, false, true}, noted()); diff != "" {
		t.Error("a note cut short:", diff)
	}
	if err := os.WriteFile(path, []byte("dear diary\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := openNotes(path); err == nil || !strings.Contains(err.Error(), "not a progress file") {
		t.Errorf("somebody's file: got %v", err)
	}
	if content, err := os.ReadFile(path); err != nil || string(content) != "dear diary\n" {
		t.Errorf("somebody's file was changed to %q, %v", content, err)
	}
}

func TestCountLines(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{
		"": 0, "\n": 0, "a": 1, "a\n": 1, "a\n\n b\r\n \t\nc": 3, strings.Repeat("x", 200<<10) + "\ny": 2,
	} {
		if got, err := countLines(strings.NewReader(text)); got != want || err != nil {
			t.Errorf("%.20q: got %d, %v; want %d", text, got, err, want)
		}
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte("{\"event\":\"a\",\"data\":{}}\n{}\n[]\n"), "a")
	f.Add([]byte("\ufeff{\"id\":\"\xff\"}"), "")
	f.Fuzz(func(t *testing.T, text []byte, eventType string) {
		for _, line := range readLines(t, string(text), eventType, "b", "t") {
			if line.err != nil {
				continue
			}
			if err := checkInputJSON(line.body); err != nil {
				t.Errorf("line %d became %q: %v", line.number, line.body, err)
			}
			if line.id == "" || strings.ContainsAny(line.mark, " \n") {
				t.Errorf("line %d has id %q, mark %q", line.number, line.id, line.mark)
			}
		}
	})
}
