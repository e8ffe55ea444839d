// SPDX-License-Identifier: Apache-2.0

package dispatcher

import (
	"errors"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher/netguard"
)

// What users are told instead of what is known.
const (
	messageInternalName  = "the host name is an internal one that leads to no address which may be reached; whether it exists is not told"
	messageForbiddenName = "the host name leads to a forbidden address"
	messageUnexplained   = "no HTTP answer came from the endpoint, which is not in a public network: the dispatcher's log says why (--explain-allowed tells it here)"
	messageTimedOut      = "timed out"
)

// disclose returns what users are told of an attempt: who may create Webhooks must not
// learn by failures which names exist inside, which addresses the operator protects,
// or which ports are open where --allow-cidr lets attempts through.
func (s *Sender) disclose(rawURL string, addresses []netip.Addr, result Result, cause error) Result {
	if result.StatusCode != 0 || result.Reason == ReasonNone {
		return result
	}
	if slices.ContainsFunc(addresses, s.policy.Allowed) && !isForbiddenAddress(addresses, cause) {
		if s.explainAllowed {
			return result
		}
		if result.Reason == ReasonTimeout {
			result.Message, result.Timings = messageTimedOut, Timings{}
			return result
		}
		return discloseOnly(result, failure{ReasonConnectionFailed, messageUnexplained})
	}
	host := disclosedHost(rawURL)
	_, isAddress := netguard.ParseAddressLiteral(host)
	dns, isDNS := errors.AsType[*net.DNSError](cause)
	switch {
	case isAddress || len(addresses) == 0 && !(isDNS && dns.IsNotFound):
		return result // refused as it is written, or the name servers failed
	case result.Reason != ReasonAddressForbidden && result.Reason != ReasonNameNotResolved:
		return result
	case s.policy.IsInternalName(host):
		return discloseOnly(result, failure{ReasonAddressForbidden, messageInternalName})
	case result.Reason == ReasonAddressForbidden:
		return discloseOnly(result, failure{ReasonAddressForbidden, messageForbiddenName})
	}
	return result
}

// discloseOnly replaces what an attempt failed for. How long it took would tell as much:
// only whole seconds are left.
func discloseOnly(result Result, disclosed failure) Result {
	result.fail(disclosed)
	result.Timings, result.CertificateNotAfter = Timings{}, time.Time{}
	result.Duration = result.Duration.Truncate(time.Second)
	return result
}

// isForbiddenAddress reports whether the guard refused one of these addresses, before
// any connection.
func isForbiddenAddress(addresses []netip.Addr, cause error) bool {
	refusal, ok := errors.AsType[*netguard.Refusal](cause)
	return ok && slices.Contains(addresses, refusal.Addr)
}

func disclosedHost(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return ""
	}
	return u.Hostname()
}
