// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// Request is a POST.
type Request struct {
	// URL is where it goes, as package netguard has read it.
	URL *url.URL
	// Host is sent as Host or :authority.
	Host string
	// Header is sent in this order, names spelled as they are. Content-Length is
	// not among it.
	Header []Field
	// Body is not empty. It must not change until Post returns.
	Body []byte
	// Attempt is the number of the attempt, from 1. Later ones begin with another
	// address of the host, should it have several.
	Attempt int
	// Forbidden are addresses that must not be reached, beside those of the policy.
	Forbidden []netip.Prefix
}

// Field is one header.
type Field struct{ Name, Value string }

// httpHeader is the header as package net/http has it.
func (r *Request) httpHeader() http.Header {
	header := make(http.Header, len(r.Header))
	values := make([]string, 0, len(r.Header))
	for _, field := range r.Header {
		values = append(values, field.Value)
		header[field.Name] = values[len(values)-1 : len(values) : len(values)]
	}
	return header
}

// port is the port of the URL, or that of its scheme.
func (r *Request) port() string {
	switch port := strings.TrimLeft(r.URL.Port(), "0"); {
	case port != "":
		return port
	case r.URL.Scheme == "https":
		return "443"
	default:
		return "80"
	}
}
