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
	case hasInvisibleInURL(raw):
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
	case u.Opaque != "" || u.Hostname() == "" || !isValidURLPort(u):
		return nil, &Refusal{Reason: Malformed}
	}
	if err := p.checkURLHost(u, forbidden); err != nil {
		return nil, err
	}
	if err := escapeURL(u, raw); err != nil {
		return nil, &Refusal{Reason: Malformed}
	}
	return u, nil
}

func isValidURLPort(u *url.URL) bool {
	if u.Port() == "" {
		return true
	}
	port, err := strconv.ParseUint(u.Port(), 10, 16)
	return err == nil && port > 0
}

func (p *Policy) checkURLHost(u *url.URL, forbidden []netip.Prefix) error {
	host := u.Hostname()
	bracketed := strings.HasPrefix(u.Host, "[")
	switch {
	case strings.Contains(host, "%"):
		if bracketed {
			return &Refusal{Reason: Zone}
		}
		return &Refusal{Reason: Malformed}
	case !isASCIIHost(host):
		return &Refusal{Reason: NotASCII}
	}
	if addr, unusual, ok := parseAddressLiteral(host); ok {
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
	case bracketed || !isHostName(name) || endsInAddressNumber(name):
		return &Refusal{Reason: Malformed}
	case (name == "localhost" || strings.HasSuffix(name, ".localhost")) && !p.allowsLoopback():
		return &Refusal{Reason: Loopback} // RFC 6761: always loopback
	default:
		return nil
	}
}
