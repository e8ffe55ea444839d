// SPDX-License-Identifier: Apache-2.0

package netguard

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// internalDomains are those that no public name is in: RFC 6761, 6762 (with its
// appendix G) and 8375, the one that ICANN has set aside, and what Kubernetes uses.
var internalDomains = []string{ //nolint:gochecknoglobals // never changed
	"localhost", "local", "internal", "home.arpa", "intranet", "private", "corp", "home", "lan", "svc",
}

// serviceLabel is where the label "svc" or "pod" stands in the name of a Service or
// of a Pod, at the earliest: behind its own and its namespace's, before the domain of
// the cluster, whichever that is.
const serviceLabel = 2

// IsInternalName reports whether a host is a name, not an address, that only the inside
// of a cluster or of a private network knows: one without a dot, one in a domain that
// is not public, the name of a Service or a Pod, or one in Options.Domains. Whether
// such a name exists is not told to users.
func (p *Policy) IsInternalName(host string) bool {
	if _, ok := ParseAddressLiteral(host); ok {
		return false
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	labels := strings.Split(name, ".")
	if len(labels) == 1 {
		return true
	}
	if slices.ContainsFunc(labels[min(serviceLabel, len(labels)):], func(label string) bool { return label == "svc" || label == "pod" }) {
		return true
	}
	isIn := func(domain string) bool { return strings.HasSuffix(name, "."+domain) }
	return slices.ContainsFunc(internalDomains, isIn) || slices.ContainsFunc(p.domains, isIn)
}

// ownHostDomains are those of Options.Domains that say something: in lower case, and of
// two labels at least, since every public name is in one of a single label.
func ownHostDomains(domains []string) []string {
	var own []string
	for _, domain := range domains {
		if domain = strings.ToLower(strings.Trim(domain, ".")); strings.Contains(domain, ".") {
			own = append(own, domain)
		}
	}
	return own
}

// isHostName checks lengths and characters; underscores occur in practice.
func isHostName(name string) bool {
	if len(name) > 253 {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return true
}

func isASCIIHost(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
}
