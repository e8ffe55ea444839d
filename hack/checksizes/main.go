// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	"bbmcp.quietstack.com/webhooks/hack/sources"
)

const exceptionsFile = "hack/checksizes/exceptions.txt"

func main() {
	shrink := flag.Bool("shrink", false, "lower and remove exceptions that are larger than what is there")
	flag.Parse()
	complaints, err := checkSizes(".", *shrink)
	if err == nil && len(complaints) > 0 {
		err = fmt.Errorf("\n  %s", strings.Join(complaints, "\n  "))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "checksizes:", err)
		os.Exit(1)
	}
}

// checkSizes returns what is wrong, one line each.
func checkSizes(root string, shrink bool) ([]string, error) {
	files, err := sources.GoFiles(root)
	if err != nil {
		return nil, err
	}
	sizes := measureOversized(files)
	list, err := readExceptions(root + "/" + exceptionsFile)
	if err != nil {
		return nil, err
	}
	if shrink {
		list.shrink(sizes)
		if err := list.write(root + "/" + exceptionsFile); err != nil {
			return nil, err
		}
	}
	return compareSizes(sizes, list.of), nil
}

// compareSizes says what is too large, and which exceptions are.
func compareSizes(sizes map[measuredThing]int, exceptions map[measuredThing]exception) (complaints []string) {
	for _, t := range sortedThings(sizes) {
		size, allowed := sizes[t], sizeLimits()[t.kind]
		if excepted, ok := exceptions[t]; ok {
			allowed = excepted.size
		}
		if size > allowed {
			complaints = append(complaints, fmt.Sprintf("%s %s: %d, at most %d", t.kind, t.name, size, allowed))
		}
	}
	for _, t := range sortedThings(exceptions) {
		switch size, is := sizes[t]; {
		case !is:
			complaints = append(complaints, fmt.Sprintf("%s %s: needs no exception any more (-shrink removes it)", t.kind, t.name))
		case size < exceptions[t].size:
			complaints = append(complaints, fmt.Sprintf("%s %s: %d, its exception says %d (-shrink lowers it)", t.kind, t.name, size, exceptions[t].size))
		}
	}
	return complaints
}
