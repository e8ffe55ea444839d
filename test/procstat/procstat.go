// SPDX-License-Identifier: Apache-2.0

package procstat

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/procfs"
)

// tick is the unit of times in /proc: the kernel shows every program a clock of
// 100 Hz, whatever its own.
const tick = 10 * time.Millisecond

var errEnded = errors.New("it has no memory any more")

// CPU is the time that all threads of a process, ended ones included, have
// spent on CPUs so far.
func CPU(pid int) (time.Duration, error) {
	process, err := procfs.NewProc(pid)
	if err != nil {
		return 0, err
	}
	stat, err := process.Stat()
	return time.Duration(stat.UTime+stat.STime) * tick, err
}

// BusyCPU is the time that all processes have spent on this machine's CPUs so far.
func BusyCPU() (time.Duration, error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return 0, err
	}
	stat, err := fs.Stat()
	all := stat.CPUTotal
	return time.Duration((all.User + all.Nice + all.System + all.IRQ + all.SoftIRQ + all.Steal) * float64(time.Second)), err
}

// Memory is what a process holds in RAM, in bytes.
type Memory struct {
	Now, Peak int64
}

// ReadMemory reads a process's memory.
func ReadMemory(pid int) (Memory, error) {
	process, err := procfs.NewProc(pid)
	if err != nil {
		return Memory{}, err
	}
	status, err := process.NewStatus()
	if err == nil && status.VmRSS == 0 {
		err = fmt.Errorf("process %d: %w", pid, errEnded)
	}
	return Memory{Now: int64(status.VmRSS), Peak: int64(status.VmHWM)}, err
}

// Sockets counts the sockets that a process has open.
func Sockets(pid int) (count int, err error) {
	process, err := procfs.NewProc(pid)
	if err != nil {
		return 0, err
	}
	targets, err := process.FileDescriptorTargets()
	for _, target := range targets {
		if strings.HasPrefix(target, "socket:") {
			count++
		}
	}
	return count, err
}
