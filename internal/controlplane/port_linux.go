// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"fmt"
	"os"
	"syscall"
)

// soReusePort is SO_REUSEPORT, which package syscall leaves out.
const soReusePort = 0xf

// reservePort takes a free TCP port of 127.0.0.1 and keeps it until release is called: a socket that is bound but does not
// listen. Children share the port with SO_REUSEPORT; nobody else gets it, not even while the API server is down, and
// connections meanwhile are refused as usual.
func reservePort(want int) (port int, release func(), err error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, nil, fmt.Errorf("reserve port: %w", os.NewSyscallError("socket", err))
	}
	defer func() {
		if err != nil {
			_ = syscall.Close(fd)
		}
	}()
	if err := syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, soReusePort, 1); err != nil {
		return 0, nil, fmt.Errorf("reserve port: %w", os.NewSyscallError("setsockopt", err))
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: want, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, nil, fmt.Errorf("reserve port %d: %w", want, os.NewSyscallError("bind", err))
	}
	addr, err := syscall.Getsockname(fd)
	if err != nil {
		return 0, nil, fmt.Errorf("reserve port: %w", os.NewSyscallError("getsockname", err))
	}
	return addr.(*syscall.SockaddrInet4).Port, func() { _ = syscall.Close(fd) }, nil
}
