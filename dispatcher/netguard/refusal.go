// SPDX-License-Identifier: Apache-2.0

package netguard

import "net/netip"

// Reason names why an address or a URL is refused. The set is closed.
type Reason string

// Reasons about addresses.
const (
	// ControlPlane: an address of the API server, named by the request.
	ControlPlane Reason = "ControlPlane"
	// Denied: within --deny-cidr.
	Denied Reason = "Denied"
	// Metadata: a cloud's metadata or credential service.
	Metadata Reason = "Metadata"
	// Loopback: 127.0.0.0/8, ::1, and the names localhost and *.localhost.
	Loopback Reason = "Loopback"
	// Private: RFC 1918, and IPv6 site-local, which it replaced.
	Private Reason = "Private"
	// UniqueLocal: fc00::/7 (RFC 4193).
	UniqueLocal Reason = "UniqueLocal"
	// LinkLocal: 169.254.0.0/16 and fe80::/10.
	LinkLocal Reason = "LinkLocal"
	// SharedAddressSpace: 100.64.0.0/10, carrier-grade NAT (RFC 6598).
	SharedAddressSpace Reason = "SharedAddressSpace"
	// Unspecified: 0.0.0.0/8 and ::, which reach the host itself.
	Unspecified Reason = "Unspecified"
	// Multicast: 224.0.0.0/4 and ff00::/8.
	Multicast Reason = "Multicast"
	// Broadcast: 255.255.255.255.
	Broadcast Reason = "Broadcast"
	// Translated: IPv6 that carries an IPv4 address through NAT64 (RFC 6052,
	// RFC 8215) or the deprecated IPv4-compatible and IPv4-translated forms.
	Translated Reason = "Translated"
	// Tunnelled: 6to4 (2002::/16) and Teredo (2001::/32), which carry an IPv4
	// address.
	Tunnelled Reason = "Tunnelled"
	// Documentation: addresses set aside for examples.
	Documentation Reason = "Documentation"
	// Benchmarking: 198.18.0.0/15 and 2001:2::/48.
	Benchmarking Reason = "Benchmarking"
	// Reserved: 240.0.0.0/4, protocol assignments, AS112 and other special use.
	Reserved Reason = "Reserved"
	// NotGlobal: any other address that is not global unicast.
	NotGlobal Reason = "NotGlobal"
)

// Reasons about URLs.
const (
	// TooLong: more than MaxURLLength characters.
	TooLong Reason = "TooLong"
	// Malformed: not an absolute URL with a host.
	Malformed Reason = "Malformed"
	// Scheme: neither https, nor http where that is allowed.
	Scheme Reason = "Scheme"
	// UserInfo: a user name or password in the URL.
	UserInfo Reason = "UserInfo"
	// Fragment: a part after #.
	Fragment Reason = "Fragment"
	// Invisible: white space, or a character that cannot be seen.
	Invisible Reason = "Invisible"
	// NotASCII: a host name in another script, or an address in other digits.
	NotASCII Reason = "NotASCII"
	// Spelling: an IPv4 address in octal, hexadecimal, short or decimal form.
	Spelling Reason = "Spelling"
	// Zone: an IPv6 address with a zone.
	Zone Reason = "Zone"
)

// Refusal is the error of every check of this package.
type Refusal struct {
	Reason Reason
	// Addr is the address refused; the zero Addr if it is not about one. It is
	// for logs: the text of the error does not show it.
	Addr netip.Addr
}

// Error says what is wrong and, where there is one, the way out. The text
// depends on the reason alone.
func (r *Refusal) Error() string {
	switch r.Reason {
	case TooLong:
		return "the URL is longer than 2048 characters"
	case Malformed:
		return "the URL is not of the form https://host/path"
	case Scheme:
		return "the URL must begin with https:// (http is off: --allow-http)"
	case UserInfo:
		return "the URL carries a user name or password: remove it"
	case Fragment:
		return "the URL has a fragment: remove # and what follows"
	case Invisible:
		return "the URL has white space or an invisible character: remove or percent-encode it"
	case NotASCII:
		return "the host is not plain ASCII: write an international name in its xn-- form"
	case Spelling:
		return "the host is an IPv4 address in an unusual spelling: write four decimal numbers"
	case Zone:
		return "the host is an IPv6 address with a zone: remove % and what follows"
	default:
		return "the address is forbidden (" + string(r.apparent()) + ")"
	}
}

// apparent is the reason as far as the address itself shows it to everybody. Which
// addresses are the API server's, and which the operator has denied, is not told.
func (r *Refusal) apparent() Reason {
	if r.Reason != ControlPlane && r.Reason != Denied || !r.Addr.IsValid() {
		return r.Reason
	}
	for _, special := range specialRanges() {
		if special.prefix.Contains(r.Addr) {
			return special.reason
		}
	}
	return Denied
}

// AboutAddress reports whether the refusal is for where the URL or the
// connection leads, not for how a URL is written.
func (r *Refusal) AboutAddress() bool {
	switch r.Reason {
	case TooLong, Malformed, Scheme, UserInfo, Fragment, Invisible, NotASCII, Spelling, Zone:
		return false
	default:
		return true
	}
}
