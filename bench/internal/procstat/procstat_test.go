// SPDX-License-Identifier: Apache-2.0

package procstat

import (
	"net"
	"os"
	"runtime"
	"testing"
	"time"
)

func TestCPUIsUserAndSystemTime(t *testing.T) {
	for _, c := range []struct {
		name, stat string
		want       time.Duration
		fails      bool
	}{
		{"a plain name", "7 (etcd) S 1 7 7 0 -1 4194560 9 0 0 0 250 50 0 0 20 0 9 0 1 2 3", 3 * time.Second, false},
		{"a name with spaces and parentheses", "7 (a) 9 (b) R 1 7 7 0 -1 4194560 9 0 0 0 1 2 99 99 20 0 9 0 1 2 3", 30 * time.Millisecond, false},
		{"cut short", "7 (etcd) S 1 7 7 0", 0, true},
		{"no name", "7 S 1", 0, true},
		{"not numbers", "7 (etcd) S 1 7 7 0 -1 4194560 9 0 0 0 x 50 0", 0, true},
	} {
		got, err := parseCPU(c.stat)
		if got != c.want || (err != nil) != c.fails {
			t.Errorf("%s: got %s and %v, want %s", c.name, got, err, c.want)
		}
	}
}

func TestMemoryIsInBytes(t *testing.T) {
	for _, c := range []struct {
		name, status string
		want         Memory
		fails        bool
	}{
		{"both", "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n", Memory{Now: 1 << 20, Peak: 2 << 20}, false},
		{"a process that has ended", "Name:\tx\nState:\tZ (zombie)\n", Memory{}, true},
		{"another unit", "VmRSS:\t1 MB\n", Memory{}, true},
	} {
		got, err := parseMemory(c.status)
		if got != c.want || (err != nil) != c.fails {
			t.Errorf("%s: got %+v and %v, want %+v", c.name, got, err, c.want)
		}
	}
}

func TestOwnProcess(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no /proc")
	}
	pid := os.Getpid()
	memory, err := ReadMemory(pid)
	if err != nil || memory.Now < 1<<20 || memory.Peak < memory.Now {
		t.Errorf("memory %+v, %v", memory, err)
	}
	if _, err := CPU(pid); err != nil {
		t.Error(err)
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
