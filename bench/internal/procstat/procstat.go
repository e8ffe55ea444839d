// SPDX-License-Identifier: Apache-2.0

package procstat

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of times in /proc: the kernel shows every program a clock of
// 100 Hz, whatever its own.
const tick = 10 * time.Millisecond

// Fields of /proc/PID/stat after the name, proc(5) numbering less 3.
const (
	fieldUserTime   = 14 - 3
	fieldSystemTime = 15 - 3
)

var errFormat = errors.New("not in the form of proc(5)")

// CPU is the time that all threads of a process, ended ones included, have
// spent on CPUs so far.
func CPU(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return parseCPU(string(text))
}

func parseCPU(stat string) (time.Duration, error) {
	// The name is in parentheses and may hold spaces and parentheses itself.
	end := strings.LastIndexByte(stat, ')')
	if end < 0 {
		return 0, fmt.Errorf("stat %q: %w", stat, errFormat)
	}
	fields := strings.Fields(stat[end+1:])
	if len(fields) <= fieldSystemTime {
		return 0, fmt.Errorf("stat %q: %w", stat, errFormat)
	}
	user, err := strconv.ParseInt(fields[fieldUserTime], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("user time: %w", err)
	}
	system, err := strconv.ParseInt(fields[fieldSystemTime], 10, 64)
	if err != nil {
		return 0, fmt.Errorf("system time: %w", err)
	}
	return time.Duration(user+system) * tick, nil
}

// Memory is what a process holds in RAM, in bytes.
type Memory struct {
	Now, Peak int64
}

// ReadMemory reads a process's memory.
func ReadMemory(pid int) (Memory, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return Memory{}, err
	}
	return parseMemory(string(text))
}

func parseMemory(status string) (Memory, error) {
	var m Memory
	for line := range strings.Lines(status) {
		name, value, _ := strings.Cut(line, ":")
		into := map[string]*int64{"VmRSS": &m.Now, "VmHWM": &m.Peak}[name]
		if into == nil {
			continue
		}
		kilobytes, ok := strings.CutSuffix(strings.TrimSpace(value), " kB")
		number, err := strconv.ParseInt(kilobytes, 10, 64)
		if !ok || err != nil {
			return Memory{}, fmt.Errorf("%s %q: %w", name, value, errFormat)
		}
		*into = number << 10
	}
	if m.Now == 0 {
		return Memory{}, fmt.Errorf("status without VmRSS: %w", errFormat)
	}
	return m, nil
}

// Sockets counts the sockets that a process has open.
func Sockets(pid int) (int, error) {
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0, err
	}
	count := 0
	for _, entry := range entries {
		target, err := os.Readlink(filepath.Join(dir, entry.Name()))
		if err == nil && strings.HasPrefix(target, "socket:") {
			count++
		}
	}
	return count, nil
}
