// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

const (
	maxLine = 120
	maxCell = 200
)

var cellEnd = regexp.MustCompile(`(?:^|[^\\])\|`)

// checkLengths complains of lines of prose and of cells that are too long.
func checkLengths(page string, lines []pageLine) (complaints []string) {
	for _, l := range lines {
		trimmed := strings.TrimSpace(l.text)
		if strings.HasPrefix(trimmed, "|") {
			for _, cell := range rowCells(trimmed) {
				if n := utf8.RuneCountInString(cell); n > maxCell {
					complaints = append(complaints, fmt.Sprintf("%s:%d: a cell of %d characters, at most %d: a cell is a phrase", page, l.number, n, maxCell))
				}
			}
			continue
		}
		if n := utf8.RuneCountInString(l.text); n > maxLine {
			complaints = append(complaints, fmt.Sprintf("%s:%d: a line of %d characters, at most %d", page, l.number, n, maxLine))
		}
	}
	return complaints
}

// rowCells are those of one row of a table.
func rowCells(row string) (all []string) {
	row = strings.TrimPrefix(row, "|")
	for {
		end := cellEnd.FindStringIndex(row)
		if end == nil {
			return append(all, strings.TrimSpace(row))
		}
		all = append(all, strings.TrimSpace(row[:end[1]-1]))
		row = row[end[1]:]
	}
}
