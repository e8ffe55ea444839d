// SPDX-License-Identifier: Apache-2.0

package endpoints

import (
	"os"
	"syscall"
)

// UseResolverConfig makes this the resolv.conf of the process until it is stopped. It
// must be inside; see [RunWithDistance].
func UseResolverConfig(file string) (stop func(), err error) {
	const system = "/etc/resolv.conf"
	if !inDistanceNetwork() {
		return nil, ErrNoNetwork
	}
	if err := syscall.Mount(file, system, "", syscall.MS_BIND, ""); err != nil {
		return nil, os.NewSyscallError("mount "+system, err)
	}
	return func() { _ = syscall.Unmount(system, 0) }, nil
}
