// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"strings"
)

// resolverFile says how names are looked up. In a Pod it names the domain of the
// cluster, and those of the node.
const resolverFile = "/etc/resolv.conf"

// resolverSearchDomains are what the system's resolver completes names with; none where that
// is not known.
func resolverSearchDomains(file string) []string {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil
	}
	var domains []string
	for line := range strings.Lines(string(content)) {
		if fields := strings.Fields(line); len(fields) > 1 && (fields[0] == "search" || fields[0] == "domain") {
			domains = fields[1:] // the last line counts
		}
	}
	return domains
}
