// SPDX-License-Identifier: Apache-2.0

package netguard

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// MaxURLLength is the longest URL of an endpoint, in characters.
const MaxURLLength = 2048

// CheckURL says whether a URL can be an endpoint, as far as that can be said
// without a lookup: nil, or a *Refusal. A host that is an address, however it
// is spelled, is checked like a connection to it; a name passes.
func (p *Policy) CheckURL(raw string, forbidden []netip.Prefix) error {
	_, err := p.ParseURL(raw, forbidden)
	return err
}

// ParseURL is CheckURL for a caller that goes on to use the URL. Path and query
// of what it returns are those that were written, percent-encoded where they were
// not.
func (p *Policy) ParseURL(raw string, forbidden []netip.Prefix) (*url.URL, error) {
	switch {
	case utf8.RuneCountInString(raw) > MaxURLLength:
		return nil, &Refusal{Reason: TooLong}
	case !utf8.ValidString(raw) || strings.Contains(raw, `\`): // a backslash means different things to different parsers
		return nil, &Refusal{Reason: Malformed}
	case hasInvisible(raw):
		return nil, &Refusal{Reason: Invisible}
	}
	u, err := url.Parse(raw)
	if err != nil { // it repeats the URL, which may hold a password
		return nil, &Refusal{Reason: Malformed}
	}
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || !p.allowHTTP):
		return nil, &Refusal{Reason: Scheme}
	case u.User != nil:
		return nil, &Refusal{Reason: UserInfo}
	case strings.Contains(raw, "#"):
		return nil, &Refusal{Reason: Fragment}
	case u.Opaque != "" || u.Hostname() == "" || !validPort(u):
		return nil, &Refusal{Reason: Malformed}
	}
	if err := p.checkHost(u, forbidden); err != nil {
		return nil, err
	}
	if err := escape(u, raw); err != nil {
		return nil, &Refusal{Reason: Malformed}
	}
	return u, nil
}

func validPort(u *url.URL) bool {
	if u.Port() == "" {
		return true
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && port > 0
}

func (p *Policy) checkHost(u *url.URL, forbidden []netip.Prefix) error {
	host := u.Hostname()
	bracketed := strings.HasPrefix(u.Host, "[")
	switch {
	case strings.Contains(host, "%"):
		if bracketed {
			return &Refusal{Reason: Zone}
		}
		return &Refusal{Reason: Malformed}
	case !isASCII(host):
		return &Refusal{Reason: NotASCII}
	}
	if addr, unusual, ok := parseLiteral(host); ok {
		if bracketed != addr.Is6() {
			return &Refusal{Reason: Malformed}
		}
		if err := p.Check(addr, forbidden); err != nil {
			return err
		}
		if unusual {
			return &Refusal{Reason: Spelling}
		}
		return nil
	}
	name := strings.ToLower(strings.TrimSuffix(host, "."))
	switch {
	case bracketed || !isHostName(name) || endsInNumber(name):
		return &Refusal{Reason: Malformed}
	case (name == "localhost" || strings.HasSuffix(name, ".localhost")) && !p.allowsLoopback():
		return &Refusal{Reason: Loopback} // RFC 6761: always loopback
	default:
		return nil
	}
}

// allowsLoopback reports whether some loopback address is open, so that the
// name localhost must be left to the check of the connection.
func (p *Policy) allowsLoopback() bool {
	loopback4, loopback6 := netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")
	for _, allow := range p.allow {
		if allow.Overlaps(loopback4) || allow.Overlaps(loopback6) {
			return true
		}
	}
	return false
}

// ParseLiteral returns the address that a URL's host spells, if it is one: IPv6
// without brackets, or IPv4 in any of the forms that inet_aton takes, with or
// without a trailing dot.
func ParseLiteral(host string) (netip.Addr, bool) {
	addr, _, ok := parseLiteral(host)
	return addr, ok
}

func parseLiteral(host string) (addr netip.Addr, unusual, ok bool) {
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

// endsInNumber reports whether the last label is a number, which makes a host
// an IPv4 address or nothing (WHATWG URL, "ends in a number").
func endsInNumber(name string) bool {
	last := name[strings.LastIndexByte(name, '.')+1:]
	if rest, ok := strings.CutPrefix(last, "0x"); ok {
		return strings.Trim(rest, "0123456789abcdef") == ""
	}
	return last != "" && strings.Trim(last, "0123456789") == ""
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= utf8.RuneSelf }) < 0
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
