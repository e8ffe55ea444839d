// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"crypto/tls"
	"slices"

	"bbmcp.quietstack.com/webhooks/dispatcher/netguard"
)

// controlPlaneNames are in the certificate of every API server: Pods reach it by
// them.
var controlPlaneNames = []string{"kubernetes.default", "kubernetes.default.svc"} //nolint:gochecknoglobals // never changed

// newTLSConfig is what all connections begin with.
func newTLSConfig(options Options) *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		RootCAs:            options.RootCAs,
		ClientSessionCache: newSessionCache(),
		VerifyConnection:   refuseControlPlaneTLS,
		// A request is of no use to the endpoint until all of it is there.
		DynamicRecordSizingDisabled: true,
	}
}

// refuseControlPlaneTLS refuses what proves to be an API server, wherever it is: its
// addresses may not be known. Nothing has been sent by then.
func refuseControlPlaneTLS(state tls.ConnectionState) error {
	if len(state.PeerCertificates) == 0 {
		return nil
	}
	for _, name := range controlPlaneNames {
		if slices.Contains(state.PeerCertificates[0].DNSNames, name) {
			return &netguard.Refusal{Reason: netguard.ControlPlane}
		}
	}
	return nil
}
