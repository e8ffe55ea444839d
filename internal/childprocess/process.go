// SPDX-License-Identifier: Apache-2.0

package childprocess

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// pollEvery is how often a readiness check is repeated. A check costs under a millisecond.
const pollEvery = 25 * time.Millisecond

// pauseTimeout bounds Pause.
const pauseTimeout = 5 * time.Second

// Process is a child in a process group of its own, so that Ctrl-C in a terminal reaches only the parent, which decides the
// order in which things end.
type Process struct {
	name string
	log  string // path of the file that takes its output, "" if none
	cmd  *exec.Cmd
	done chan struct{} // closed once the process is gone
	err  error         // how it ended; valid once done is closed
}

// Start starts cmd. Its output goes to the end of the file log, unless log is empty.
func Start(name, log string, cmd *exec.Cmd) (*Process, error) {
	if log != "" {
		f, err := os.OpenFile(log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", name, err)
		}
		defer f.Close() // the child has its own copy
		cmd.Stdout, cmd.Stderr = f, f
	}
	cmd.SysProcAttr = childAttributes()
	p := &Process{name: name, log: log, cmd: cmd, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// The kernel ties a parent-death signal to the thread that forked, so that thread must last as long as the child.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		close(p.done)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// Done is closed once the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is how the process ended; valid once Done is closed.
func (p *Process) Err() error { return p.err }

// Log is the path of the file that takes the output.
func (p *Process) Log() string { return p.log }

// PID is the process id, also its group's.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Running reports whether the process has not ended yet.
func (p *Process) Running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// Signal reaches the whole group.
func (p *Process) Signal(sig syscall.Signal) error {
	if !p.Running() {
		return fmt.Errorf("signal %s: %w", p.name, os.ErrProcessDone)
	}
	if err := syscall.Kill(-p.PID(), sig); err != nil {
		return fmt.Errorf("signal %s: %w", p.name, err)
	}
	return nil
}

// Pause stops the process with SIGSTOP and returns when it stands still, within
// pauseTimeout.
func (p *Process) Pause() error {
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return err
	}
	for deadline := time.Now().Add(pauseTimeout); !isStopped(p.PID()); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			return fmt.Errorf("pause %s: it still runs after %s", p.name, pauseTimeout)
		}
	}
	return nil
}

// Resume continues a paused process.
func (p *Process) Resume() error { return p.Signal(syscall.SIGCONT) }

// Stop asks the process to end, kills it after grace (at once if zero), and returns when it is gone.
func (p *Process) Stop(grace time.Duration) {
	if grace > 0 && p.Signal(syscall.SIGTERM) == nil {
		timer := time.NewTimer(grace)
		defer timer.Stop()
		select {
		case <-p.done:
			return
		case <-timer.C:
		}
	}
	_ = p.Signal(syscall.SIGKILL) // an error means that it is gone already
	<-p.done
}

// WaitFor repeats check until it succeeds. It fails when the process ends or ctx does, with the end of the log.
func (p *Process) WaitFor(ctx context.Context, what string, check func(context.Context) error) error {
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	var last error
	for {
		if last = check(ctx); last == nil {
			return nil
		}
		select {
		case <-ticker.C:
		case <-p.done:
			return fmt.Errorf("%s: process ended: %w\n%s", what, errors.Join(p.err, last), p.LogTail())
		case <-ctx.Done():
			return fmt.Errorf("%s: %w: %w\n%s", what, ctx.Err(), last, p.LogTail())
		}
	}
}

// LogTail is the end of the log, for an error message.
func (p *Process) LogTail() string {
	const most, lines = 8 << 10, 12
	f, err := os.Open(p.log)
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil {
		_, _ = f.Seek(max(0, info.Size()-most), io.SeekStart)
	}
	b, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return ""
	}
	all := strings.Split(strings.TrimSpace(string(b)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
