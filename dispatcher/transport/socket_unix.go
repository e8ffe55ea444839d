// SPDX-License-Identifier: Apache-2.0

//go:build unix

package transport

import (
	"errors"
	"syscall"
)

// isQuiet reports whether the peer of an idle connection has neither closed it nor
// sent anything.
func isQuiet(socket syscall.RawConn) bool {
	quiet := false
	err := socket.Control(func(fd uintptr) {
		var one [1]byte
		_, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		quiet = errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EWOULDBLOCK)
	})
	return err == nil && quiet
}
