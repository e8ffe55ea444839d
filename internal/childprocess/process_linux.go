// SPDX-License-Identifier: Apache-2.0

package childprocess

import (
	"slices"
	"syscall"

	"github.com/prometheus/procfs"
)

// childAttributes make a child die with its parent, even if that is killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// isStopped reports whether every thread of a process stands still: SIGSTOP
// reaches them one after the other.
func isStopped(pid int) bool {
	threads, err := procfs.AllThreads(pid)
	return err == nil && len(threads) > 0 && !slices.ContainsFunc(threads, func(thread procfs.Proc) bool {
		stat, err := thread.Stat()
		return err == nil && stat.State != "T" // one that cannot be read has ended
	})
}
