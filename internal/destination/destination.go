// SPDX-License-Identifier: Apache-2.0

package destination

import (
	"net"
	"net/url"
	"strings"
)

// Parse returns the host:port of a URL, in lower case and without the final dot of the
// host; the URL itself if it cannot be parsed.
func Parse(rawURL string) string {
	u, err := url.Parse(rawURL)
	if err != nil {
		return rawURL
	}
	return net.JoinHostPort(strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")), Port(u))
}

// Port returns the port of a URL, by its scheme if it names none: 80 for http, else 443.
func Port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "http":
		return "80"
	}
	return "443"
}
