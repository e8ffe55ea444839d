// SPDX-License-Identifier: Apache-2.0

package apiserver

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// ServiceHost is the environment variable that a kubelet sets in every container:
// the address of the Service kubernetes.
const ServiceHost = "KUBERNETES_SERVICE_HOST"

// Hosts returns the hosts of the API server that are known without asking it: that
// of server, as a kubeconfig or [ServiceHost] has made it, and ServiceHost itself.
// Loopback is left out: it is the machine that the process runs on, where a
// developer's API server and a developer's receivers have one address.
func Hosts(server string, getenv func(string) string) []string {
	var hosts []string
	for _, host := range []string{serverHost(server), getenv(ServiceHost)} {
		host = strings.Trim(host, "[] ")
		addr, err := netip.ParseAddr(host)
		switch {
		case host == "", host == "localhost", err == nil && addr.Unmap().IsLoopback():
		default:
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// serverHost reads the host of a client: a URL, or host and port.
func serverHost(server string) string {
	if u, err := url.Parse(server); err == nil && u.Hostname() != "" {
		return u.Hostname()
	}
	if host, _, err := net.SplitHostPort(server); err == nil {
		return host
	}
	return server
}
