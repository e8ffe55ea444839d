// SPDX-License-Identifier: Apache-2.0

package ports

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync/atomic"
)

// The ports are below those that Linux gives to connections and to listeners
// that ask for any (ip_local_port_range, by default from 32768): a port of those
// may be somebody else's before the process that it is for has started.
const (
	lowest = 12000
	count  = 20000
)

var (
	first = rand.Int64N(count) //nolint:gochecknoglobals // where this process begins
	taken atomic.Int64         //nolint:gochecknoglobals // ports belong to the whole process
)

// FreeAddress is a loopback address that nothing listens on, and that it has not handed
// out among the last 20,000.
func FreeAddress() (string, error) {
	for range count {
		address := net.JoinHostPort("127.0.0.1", strconv.FormatInt(lowest+(first+taken.Add(1))%count, 10))
		listener, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		return address, listener.Close()
	}
	return "", errors.New("no free port: every one of them is in use")
}
