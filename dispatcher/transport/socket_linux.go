// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"encoding/binary"
	"syscall"
	"unsafe"
)

// closeWait is the state of a TCP socket whose peer has ended its side in order, and
// has sent no reset.
const closeWait = 8

// unacknowledged returns how many of the bytes written to a TCP socket its peer's
// kernel had not acknowledged when the peer ended its side in order. ended is false
// if the peer has not, or has reset the connection: a reset does not acknowledge
// what was read before it.
func unacknowledged(socket syscall.RawConn) (count int64, ended bool) {
	var queued int32
	var failed syscall.Errno
	var state int
	var stateErr error
	err := socket.Control(func(fd uintptr) {
		_, _, failed = syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCOUTQ, uintptr(unsafe.Pointer(&queued)))
		state, stateErr = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_INFO)
	})
	if err != nil || failed != 0 || stateErr != nil {
		return 0, false
	}
	var info [4]byte                                      // the first byte of struct tcp_info is the state
	binary.NativeEndian.PutUint32(info[:], uint32(state)) //nolint:gosec // G115: bits
	return int64(queued), info[0] == closeWait
}
