// SPDX-License-Identifier: Apache-2.0

package childprocess

import (
	"bufio"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/procfs"
)

// parentVariable makes this test binary play a parent that is killed.
const parentVariable = "CHILDPROCESS_TEST_PARENT"

func TestMain(m *testing.M) {
	if os.Getenv(parentVariable) != "" {
		playParent()
		return
	}
	os.Exit(m.Run())
}

// playParent starts a child, tells its process id, and stays until it is killed.
func playParent() {
	p, err := Start("child", "", exec.Command("sleep", "600"))
	if err != nil {
		panic(err)
	}
	os.Stdout.WriteString(strconv.Itoa(p.PID()) + "\n")
	<-p.done
}

func TestChildDiesWithItsParent(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux has a parent-death signal")
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(self)
	parent.Env = append(os.Environ(), parentVariable+"=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if !alive(pid) {
		t.Fatal("the child is not alive while its parent is")
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	for deadline := time.Now().Add(5 * time.Second); alive(pid); {
		if time.Now().After(deadline) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
			t.Fatal("the child outlived its parent")
		}
		runtime.Gosched()
	}
}

// alive says whether a process runs. One that is dead but not yet reaped does not.
func alive(pid int) bool {
	process, err := procfs.NewProc(pid)
	if err != nil {
		return false
	}
	stat, err := process.Stat()
	return err == nil && stat.State != "Z" && stat.State != "X"
}

func TestProcess(t *testing.T) {
	begin := func(t *testing.T, script string) *Process {
		t.Helper()
		p, err := Start("script", filepath.Join(t.TempDir(), "log"), exec.Command("sh", "-c", script))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { p.Stop(0) })
		return p
	}
	ready := func(p *Process) func(context.Context) error {
		return func(context.Context) error {
			if p.LogTail() != "ready" {
				return errors.New("not ready")
			}
			return nil
		}
	}

	t.Run("a process that obeys is asked and not killed", func(t *testing.T) {
		p := begin(t, "trap 'exit 7' TERM; echo ready; while :; do sleep 0.01; done")
		if err := p.WaitFor(t.Context(), "script", ready(p)); err != nil {
			t.Fatal(err)
		}
		p.Stop(10 * time.Second)
		if got := p.cmd.ProcessState.ExitCode(); got != 7 {
			t.Errorf("exit code: got %d, want 7", got)
		}
	})

	t.Run("a process that does not obey is killed", func(t *testing.T) {
		p := begin(t, "trap '' TERM; echo ready; while :; do sleep 0.01; done")
		if err := p.WaitFor(t.Context(), "script", ready(p)); err != nil {
			t.Fatal(err)
		}
		p.Stop(50 * time.Millisecond)
		if status := p.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGKILL {
			t.Errorf("ended by %v, want SIGKILL", status.Signal())
		}
	})

	t.Run("waiting for a process that ends fails with the end of its log", func(t *testing.T) {
		p := begin(t, "echo flag is wrong >&2; exit 1")
		err := p.WaitFor(t.Context(), "script", ready(p))
		want := "script: process ended: exit status 1\nnot ready\nflag is wrong"
		if err == nil || err.Error() != want {
			t.Errorf("got %v, want %q", err, want)
		}
		if err := p.Signal(syscall.SIGTERM); !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("signal: got %v, want %v", err, os.ErrProcessDone)
		}
	})

	t.Run("waiting ends with the context", func(t *testing.T) {
		p := begin(t, "sleep 600")
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		if err := p.WaitFor(ctx, "script", ready(p)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want deadline exceeded", err)
		}
	})

	t.Run("a program that does not exist is an error", func(t *testing.T) {
		if _, err := Start("absent", "", exec.Command("/absent")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("got %v, want %v", err, os.ErrNotExist)
		}
	})
}
