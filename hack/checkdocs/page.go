// SPDX-License-Identifier: Apache-2.0

package main

import "strings"

// line is one that is no code.
type line struct {
	number int // from 1
	text   string
}

// readable are the lines of a page outside of its code blocks.
func readable(text string) (lines []line) {
	fence := ""
	for i, each := range strings.Split(text, "\n") {
		trimmed := strings.TrimSpace(each)
		switch {
		case fence != "":
			if strings.HasPrefix(trimmed, fence) {
				fence = ""
			}
		case strings.HasPrefix(trimmed, "```"), strings.HasPrefix(trimmed, "~~~"):
			fence = trimmed[:3]
		default:
			lines = append(lines, line{number: i + 1, text: each})
		}
	}
	return lines
}

func isGenerated(text string) bool { return strings.HasPrefix(text, "<!-- Generated ") }
