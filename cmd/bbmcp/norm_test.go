// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"regexp"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
)

// namesKey is where a script's names are.
type namesKey struct{}

// names are what a script calls ids and secrets: the first webhook it sees is
// wh_1, whenever and wherever it is printed.
type names struct {
	given  map[string]string
	counts map[string]int
}

func (n *names) placeholder(kind, value string) string {
	if name, ok := n.given[value]; ok {
		return name
	}
	n.counts[kind]++
	n.given[value] = fmt.Sprintf("%s_%d", kind, n.counts[kind])
	return n.given[value]
}

var (
	identifier = regexp.MustCompile(`\b(wh|dlv|evt|test|line|whsec)_[0-9A-Za-z+/]{16,}=*`)
	moment     = regexp.MustCompile(`\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`)
	duration   = regexp.MustCompile(`\b(\d+(\.\d+)?(ms|µs|d|h|m|s))+\b`)
	request    = regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	gaps       = regexp.MustCompile(`  +`)
	took       = regexp.MustCompile(`"duration_ms": \d+`)
	etag       = regexp.MustCompile(`"[0-9a-f]{24}"`)
)

// norm writes standard output, or error, into a file without what differs from
// run to run: norm stdout out.txt. Widths of columns go too.
func norm(ts *testscript.TestScript, _ bool, args []string) {
	known, ok := ts.Value(namesKey{}).(*names)
	if !ok {
		ts.Fatalf("norm: the script was not set up")
	}
	text := ts.ReadFile(args[0])
	if strings.Contains(text, ts.Getenv("BBMCP_API_KEY")) && ts.Getenv("BBMCP_API_KEY") != "" {
		ts.Fatalf("the key was printed")
	}
	text = strings.ReplaceAll(text, ts.Getenv("ENDPOINT"), "ENDPOINT")
	text = strings.ReplaceAll(text, ts.Getenv("NAMESPACE"), "NAMESPACE")
	text = moment.ReplaceAllString(text, "TIME")
	text = request.ReplaceAllString(text, "REQUEST")
	text = identifier.ReplaceAllStringFunc(text, func(id string) string {
		kind, _, _ := strings.Cut(id, "_")
		return known.placeholder(kind, id)
	})
	text = duration.ReplaceAllString(text, "DURATION")
	text = took.ReplaceAllString(text, `"duration_ms": DURATION`)
	text = etag.ReplaceAllString(text, "ETAG")
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		indent := len(line) - len(strings.TrimLeft(line, " "))
		lines[i] = line[:indent] + gaps.ReplaceAllString(strings.TrimRight(line[indent:], " "), "  ")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(strings.Join(lines, "\n")), 0o600))
}

// getVariable takes a part of standard output into a variable: get ID wh_\w+
func getVariable(ts *testscript.TestScript, _ bool, args []string) {
	found := regexp.MustCompile(args[1]).FindStringSubmatch(ts.ReadFile("stdout"))
	if found == nil {
		ts.Fatalf("nothing on standard output matches %s", args[1])
	}
	ts.Setenv(args[0], found[len(found)-1])
}
