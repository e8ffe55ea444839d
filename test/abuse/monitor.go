// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/childprocess"
)

// ticksPerSecond is the unit of CPU times in /proc, the same on all Linux systems.
const ticksPerSecond = 100

// watched is a process of the product.
type watched struct {
	name    string
	limit   int64 // of memory, in bytes
	process func() *childprocess.Process

	// What it was when measuring began.
	began *childprocess.Process
	cpu   time.Duration
	peak  int64
	since time.Time
}

// usage is what a process took while it was measured.
type usage struct {
	peak, limit int64   // bytes resident at most
	grown       int64   // by how much that is more than when measuring began
	cores       float64 // CPU time by time
	cpu         time.Duration
	ended       string // why it ended; empty: it runs on
}

// begin forgets peaks of before.
func (w *watched) begin() error {
	w.began, w.since = w.process(), time.Now()
	var err error
	if w.cpu, err = cpuTime(w.began.PID()); err != nil {
		return err
	}
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", w.began.PID()), []byte("5"), 0o600); err != nil {
		return err
	}
	w.peak, err = peakMemory(w.began.PID())
	return err
}

// end says what was used since begin.
func (w *watched) end() usage {
	used := usage{limit: w.limit}
	if !w.began.Running() {
		used.ended = fmt.Sprintf("it ended (%v)\n%s", w.began.Err(), w.began.LogTail())
		return used
	}
	peak, err := peakMemory(w.began.PID())
	cpu, err2 := cpuTime(w.began.PID())
	if err != nil || err2 != nil {
		used.ended = fmt.Sprint(err, err2)
		return used
	}
	used.peak, used.grown, used.cpu = peak, peak-w.peak, cpu-w.cpu
	used.cores = used.cpu.Seconds() / time.Since(w.since).Seconds()
	return used
}

// busyTime is what all processes of the machine took of its CPUs.
func busyTime() (time.Duration, error) {
	stat, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(stat), "\n")
	var ticks int64
	for i, field := range strings.Fields(line) {
		const label, idle, iowait, guest = 0, 4, 5, 9
		if i == label || i == idle || i == iowait || i >= guest {
			continue
		}
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("/proc/stat: %w", err)
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / ticksPerSecond, nil
}

// peakMemory is VmHWM: what was resident at most, in bytes.
func peakMemory(pid int) (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.SplitSeq(string(status), "\n") {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("process %d: no VmHWM", pid)
}

// cpuTime is user and system time of a process.
func cpuTime(pid int) (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("process %d: no CPU times", pid)
	}
	user, err := strconv.ParseInt(fields[11], 10, 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * time.Second / ticksPerSecond, err
}
