// SPDX-License-Identifier: Apache-2.0

package dashboard

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// maxFormBytes bounds a form. The data of a test event has at most 256 KiB, and each of
// its bytes may be escaped.
const maxFormBytes = 1 << 20

// maxSignInBytes bounds the sign-in form, which unauthenticated clients may send.
const maxSignInBytes = 32 << 10

// policy lets a page load files of this origin only: no inline script or style, no frame
// around it, no form to another site.
const policy = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"

// protect sets the security headers of every response, and refuses cross-origin posts.
func (d *Dashboard) protect(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		d.backend.NoteOperation(request.Context(), "dashboard-refused")
		d.showPageError(w, request, nil, newOriginPageError())
	}))
	protected := protection.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "same-origin")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Cache-Control", "no-store")
		request.Body = http.MaxBytesReader(w, request.Body, maxFormBytes)
		protected.ServeHTTP(w, request)
	})
}

// isLoopbackRequest reports whether a request came without TLS from a browser on the
// machine that it was sent to, as in a demo or through kubectl port-forward.
// Then, and only then, the cookie may go without Secure: it crosses no network,
// and not every browser keeps a Secure cookie of http://localhost.
func isLoopbackRequest(request *http.Request) bool {
	if request.TLS != nil || request.Header.Get("X-Forwarded-Proto") != "" || request.Header.Get("Forwarded") != "" {
		return false
	}
	peer, err := netip.ParseAddrPort(request.RemoteAddr)
	if err != nil || !peer.Addr().Unmap().IsLoopback() {
		return false
	}
	host := request.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	address, err := netip.ParseAddr(host)
	return err == nil && address.IsLoopback()
}

// isEncrypted reports whether a request cannot be read on the network.
func (d *Dashboard) isEncrypted(request *http.Request) bool {
	return d.isSecure(request) || isLoopbackRequest(request)
}
