// SPDX-License-Identifier: Apache-2.0

package childprocess

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// childAttributes make a child die with its parent, even if that is killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// stopped reports whether every thread of a process stands still: SIGSTOP
// reaches them one after the other.
func stopped(pid int) bool {
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(tasks) == 0 {
		return false
	}
	for _, task := range tasks {
		stat, err := os.ReadFile(task)
		if err != nil {
			continue // the thread has ended
		}
		text := string(stat)
		_, state, _ := strings.Cut(text[strings.LastIndexByte(text, ')')+1:], " ")
		if !strings.HasPrefix(state, "T") {
			return false
		}
	}
	return true
}
