// SPDX-License-Identifier: Apache-2.0

package httpserver

import (
	"net"
	"testing"
	"testing/synctest"
	"time"
)

// some are connections to compare.
func some(t *testing.T, n int) (all []net.Conn) {
	t.Helper()
	for range n {
		a, b := net.Pipe()
		t.Cleanup(func() { _, _ = a.Close(), b.Close() })
		all = append(all, a)
	}
	return all
}

func TestRequestsOfBusyConnectionsGiveWay(t *testing.T) {
	l := newRequestLoad(40, 100)
	conns := some(t, 3)
	var ends []func()
	begin := func(conn int, want bool) {
		t.Helper()
		end, _, ok := l.begin(conns[conn])
		if ok != want {
			t.Fatalf("connection %d, with %d requests under way: %t", conn, l.requests, ok)
		}
		if ok {
			ends = append(ends, end)
		}
	}
	for range 20 {
		begin(0, true)
	}
	begin(0, false) // half of what may be is
	for range busyRequests {
		begin(1, true)
	}
	begin(1, false)
	l.maxRequests = l.requests
	begin(2, true) // one each in any case
	begin(2, false)
	for _, end := range ends {
		end()
	}
	if l.requests != 0 || len(l.connections) != 0 {
		t.Errorf("%d requests are left, of %d connections", l.requests, len(l.connections))
	}
}

func TestTheConnectionWithTheMostUnreadBytesIsCutOff(t *testing.T) {
	l := newRequestLoad(40, 100)
	conns := some(t, 3)
	for _, conn := range conns {
		if _, _, ok := l.begin(conn); !ok {
			t.Fatal("refused")
		}
	}
	hold := func(conn, bytes int, want net.Conn) (taken func()) {
		t.Helper()
		taken, over := l.holdAnswer(conns[conn], bytes)
		if over != want {
			t.Fatalf("%d bytes for connection %d: %v is cut off, want %v", bytes, conn, over, want)
		}
		return taken
	}
	much := hold(0, 60, nil)
	hold(1, 30, nil)
	hold(2, 10, nil)()
	hold(2, 20, conns[0]) // not the last that came
	much()
	if l.bytes != 50 {
		t.Errorf("%d bytes are held", l.bytes)
	}
	if _, _, ok := l.begin(conns[0]); ok {
		t.Error("a connection that was cut off gets another request")
	}
}

func TestFrameBudget(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newFrameBudget(time.Now)
		began := time.Now()
		a.spend(frameBurst)
		if took := time.Since(began); took != 0 {
			t.Errorf("what may be sent at once took %s", took)
		}
		a.spend(frameRate)
		if took := time.Since(began); took < time.Second || took > time.Second+10*time.Millisecond {
			t.Errorf("what may be sent in a second took %s", took)
		}
		began = time.Now()
		go func() {
			time.Sleep(time.Millisecond)
			a.refund(frameBurst)
		}()
		a.spend(frameBurst)
		if took := time.Since(began); took != time.Millisecond {
			t.Errorf("what is given back was awaited for %s", took)
		}
		go func() {
			time.Sleep(time.Minute)
			a.close()
		}()
		began = time.Now()
		a.spend(1 << 30)
		if took := time.Since(began); took != time.Minute {
			t.Errorf("a connection that is closed waited for %s", took)
		}
	})
}
