// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// process is a child that answers commands, one line each, and tells in its first line where it is.
type process struct {
	*exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	hello  string
}

// start runs this program in another role and waits for its first line.
func (s *spike) start(ctx context.Context, env []string, args ...string) (*process, error) {
	p := &process{Cmd: exec.CommandContext(ctx, s.self, args...)} //nolint:gosec // it is this program
	p.Env, p.Stderr = append(os.Environ(), env...), os.Stderr
	// The children end by themselves, or are ended: a Ctrl-C is for this process alone.
	p.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.Cancel = func() error { return nil }
	var err error
	if p.stdin, err = p.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := p.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.stdout = bufio.NewReader(out)
	if err := p.Start(); err != nil {
		return nil, err
	}
	if p.hello, err = p.readLine(); err != nil {
		p.kill()
		return nil, fmt.Errorf("%s: %w", args[0], err)
	}
	return p, nil
}

func (p *process) readLine() (string, error) {
	line, err := p.stdout.ReadString('\n')
	return strings.TrimSpace(line), err
}

// ask sends a command and returns the answer.
func (p *process) ask(format string, args ...any) (string, error) {
	if _, err := fmt.Fprintf(p.stdin, format+"\n", args...); err != nil {
		return "", err
	}
	return p.readLine()
}

// stop ends the process as an orderly shutdown does, and says how long that took.
func (p *process) stop() time.Duration {
	began := time.Now()
	_ = p.stdin.Close()
	_ = p.Wait()
	return time.Since(began)
}

func (p *process) kill() {
	_ = p.Process.Kill()
	_ = p.Wait()
}

// cpu is user and system time so far.
func (p *process) cpu() time.Duration {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	return time.Duration(number(fields[11])+number(fields[12])) * (time.Second / 100)
}

// memory is VmRSS, or another line of /proc/PID/status, in MiB.
func (p *process) memory(line string) float64 {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(text), line+":")
	fields := strings.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	return float64(number(fields[0])) / 1024
}

func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// ownCPU is the time that this process has used.
func ownCPU() time.Duration {
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		return 0
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}

// loadAverage is that of the last minute.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	return strings.Fields(string(text))[0]
}
