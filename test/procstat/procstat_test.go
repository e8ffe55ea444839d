// SPDX-License-Identifier: Apache-2.0

package procstat

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if runtime.GOOS != "linux" {
		return // there is no /proc
	}
	os.Exit(m.Run())
}

// The name of a process may hold spaces and parentheses.
func TestCPUIsUserAndSystemTime(t *testing.T) {
	command := exec.Command("sh", "-c", "i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; kill -STOP $$")
	name := filepath.Join(t.TempDir(), "a) 9 (b")
	if err := os.Symlink(command.Path, name); err != nil {
		t.Fatal(err)
	}
	command.Path = name
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	var usage syscall.WaitStatus
	if _, err := syscall.Wait4(command.Process.Pid, &usage, syscall.WUNTRACED, nil); err != nil || !usage.Stopped() {
		t.Fatalf("%v, %v", usage, err)
	}
	got, err := CPU(command.Process.Pid)
	if err != nil {
		t.Error(err)
	}
	_ = command.Process.Kill()
	_ = command.Wait()
	want := command.ProcessState.UserTime() + command.ProcessState.SystemTime()
	if want < 3*tick || (got-want).Abs() > 3*tick {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAProcessThatHasEndedHasNoMemory(t *testing.T) {
	command := exec.Command("true")
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = command.Wait() }() // until then it is a zombie
	for deadline := time.Now().Add(10 * time.Second); ; runtime.Gosched() {
		if memory, err := ReadMemory(command.Process.Pid); err != nil {
			return
		} else if time.Now().After(deadline) {
			t.Fatalf("%+v", memory)
		}
	}
}

func TestOwnProcess(t *testing.T) {
	pid := os.Getpid()
	memory, err := ReadMemory(pid)
	if err != nil || memory.Now < 1<<20 || memory.Peak < memory.Now {
		t.Errorf("memory %+v, %v", memory, err)
	}
	own, err := CPU(pid)
	if err != nil {
		t.Error(err)
	}
	if all, err := BusyCPU(); err != nil || all < own {
		t.Errorf("%s of all processes, %s of this one (%v)", all, own, err)
	}
	before, err := Sockets(pid)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	// The poller of the runtime may have come with it, but that is no socket.
	if after, err := Sockets(pid); err != nil || after != before+1 {
		t.Errorf("%d sockets before, %d after one more (%v)", before, after, err)
	}
}
