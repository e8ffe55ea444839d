// SPDX-License-Identifier: Apache-2.0

package netguard

import (
	"net/netip"
	"strconv"
	"strings"
)

// ParseAddressLiteral returns the address that a URL's host spells, if it is one: IPv6
// without brackets, or IPv4 in any of the forms that inet_aton takes, with or
// without a trailing dot.
func ParseAddressLiteral(host string) (netip.Addr, bool) {
	addr, _, ok := parseAddressLiteral(host)
	return addr, ok
}

func parseAddressLiteral(host string) (addr netip.Addr, unusual, ok bool) {
	host = strings.TrimSuffix(host, ".")
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr, false, true
	}
	addr, ok = parseLegacyIPv4(host)
	return addr, true, ok
}

// parseLegacyIPv4 reads IPv4 as inet_aton does: one to four numbers, decimal,
// octal after 0 or hexadecimal after 0x, of which the last fills what is left.
func parseLegacyIPv4(host string) (netip.Addr, bool) {
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var value uint64
	for i, part := range parts {
		number, ok := parseLegacyNumber(part)
		if !ok {
			return netip.Addr{}, false
		}
		if i < len(parts)-1 {
			if number > 255 {
				return netip.Addr{}, false
			}
			value |= number << (24 - 8*i)
			continue
		}
		if number >= 1<<(32-8*i) {
			return netip.Addr{}, false
		}
		value |= number
	}
	return netip.AddrFrom4([4]byte{byte(value >> 24), byte(value >> 16), byte(value >> 8), byte(value)}), true
}

func parseLegacyNumber(part string) (uint64, bool) {
	base := 10
	switch {
	case len(part) > 1 && (part[:2] == "0x" || part[:2] == "0X"):
		part, base = part[2:], 16
		if part == "" {
			return 0, true // "0x" alone is 0 to those who read it at all
		}
	case len(part) > 1 && part[0] == '0':
		part, base = part[1:], 8
	}
	if strings.ContainsAny(part, "+-_") {
		return 0, false
	}
	number, err := strconv.ParseUint(part, base, 64)
	return number, err == nil && number < 1<<32
}

// endsInAddressNumber reports whether the last label is a number, which makes a host
// an IPv4 address or nothing (WHATWG URL, "ends in a number").
func endsInAddressNumber(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if rest, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(rest, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}
