// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package childprocess

import "syscall"

// childAttributes have no parent-death signal outside Linux: after a parent that was killed, children stay.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// isStopped believes the signal where the system does not say.
func isStopped(int) bool { return true }
