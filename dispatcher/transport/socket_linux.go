// SPDX-License-Identifier: Apache-2.0

package transport

import (
	"syscall"
	"unsafe"
)

// unacknowledged returns how many of the bytes written to a TCP socket its peer's
// kernel has not acknowledged; 0 if that cannot be told.
func unacknowledged(socket syscall.RawConn) int64 {
	var count int32
	var errno syscall.Errno
	err := socket.Control(func(fd uintptr) {
		_, _, errno = syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCOUTQ, uintptr(unsafe.Pointer(&count)))
	})
	if err != nil || errno != 0 {
		return 0
	}
	return int64(count)
}
