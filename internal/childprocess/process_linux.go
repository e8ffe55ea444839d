// SPDX-License-Identifier: Apache-2.0

package childprocess

import "syscall"

// childAttributes make a child die with its parent, even if that is killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
