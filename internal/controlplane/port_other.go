// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package controlplane

import (
	"fmt"
	"net"
)

// reservePort finds a free TCP port of 127.0.0.1. Outside Linux it cannot be kept, so another process may take it first.
func reservePort(want int) (port int, release func(), err error) {
	l, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: want})
	if err != nil {
		return 0, nil, fmt.Errorf("reserve port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, func() {}, nil
}
