// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// exception allows a thing a size.
type exception struct {
	size   int
	reason string
}

// exceptionList is a file of exceptions: comments first, then one a line, "kind name size reason".
type exceptionList struct {
	head []string
	of   map[measuredThing]exception
}

func readExceptions(file string) (*exceptionList, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	list := &exceptionList{of: map[measuredThing]exception{}}
	for i, line := range strings.Split(strings.TrimSuffix(string(text), "\n"), "\n") {
		if line == "" || strings.HasPrefix(line, "#") {
			list.head = append(list.head, line)
			continue
		}
		words := strings.Fields(line)
		if len(words) < 4 {
			return nil, fmt.Errorf("%s:%d: want kind, name, size and a reason", file, i+1)
		}
		t := measuredThing{kind: words[0], name: words[1]}
		size, err := strconv.Atoi(words[2])
		switch _, twice := list.of[t]; {
		case err != nil:
			return nil, fmt.Errorf("%s:%d: %w", file, i+1, err)
		case sizeLimits()[t.kind] == 0:
			return nil, fmt.Errorf("%s:%d: %s is none of the kinds", file, i+1, t.kind)
		case twice:
			return nil, fmt.Errorf("%s:%d: %s %s is there twice", file, i+1, t.kind, t.name)
		}
		list.of[t] = exception{size: size, reason: strings.Join(words[3:], " ")}
	}
	return list, nil
}

// shrink lowers and removes what allows more than is needed.
func (l *exceptionList) shrink(sizes map[measuredThing]int) {
	for t, e := range l.of {
		size, is := sizes[t]
		if !is {
			delete(l.of, t)
			continue
		}
		e.size = min(e.size, size)
		l.of[t] = e
	}
}

func (l *exceptionList) write(file string) error {
	lines := append([]string{}, l.head...)
	for _, t := range sortedThings(l.of) {
		lines = append(lines, fmt.Sprintf("%s %s %d %s", t.kind, t.name, l.of[t].size, l.of[t].reason))
	}
	return os.WriteFile(file, []byte(strings.Join(lines, "\n")+"\n"), 0o644)
}
