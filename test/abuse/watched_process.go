// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"fmt"
	"os"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/childprocess"
	"bbmcp.quietstack.com/webhooks/test/procstat"
)

// watchedProcess is a process of the product.
type watchedProcess struct {
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
func (w *watchedProcess) begin() error {
	w.began, w.since = w.process(), time.Now()
	var err error
	if w.cpu, err = procstat.CPU(w.began.PID()); err != nil {
		return err
	}
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", w.began.PID()), []byte("5"), 0o600); err != nil {
		return err
	}
	memory, err := procstat.ReadMemory(w.began.PID())
	w.peak = memory.Peak
	return err
}

// end says what was used since begin.
func (w *watchedProcess) end() usage {
	used := usage{limit: w.limit}
	if !w.began.Running() {
		used.ended = fmt.Sprintf("it ended (%v)\n%s", w.began.Err(), w.began.LogTail())
		return used
	}
	memory, err := procstat.ReadMemory(w.began.PID())
	cpu, err2 := procstat.CPU(w.began.PID())
	if err != nil || err2 != nil {
		used.ended = fmt.Sprint(err, err2)
		return used
	}
	used.peak, used.grown, used.cpu = memory.Peak, memory.Peak-w.peak, cpu-w.cpu
	used.cores = used.cpu.Seconds() / time.Since(w.since).Seconds()
	return used
}
