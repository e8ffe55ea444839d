// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"errors"
	"net"
	"runtime"
	"strconv"
	"syscall"
	"testing"
)

func TestReservePort(t *testing.T) {
	port, release, err := reservePort(0)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if port == 0 {
		t.Error("port: got 0")
	}
	if runtime.GOOS != "linux" {
		return
	}
	if _, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("listen on a reserved port: got %v, want address already in use", err)
	}
	if _, err := net.Dial("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port))); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connect to a reserved port: got %v, want connection refused", err)
	}
}
