// SPDX-License-Identifier: Apache-2.0

package ports_test

import (
	"net"
	"testing"

	"bbmcp.quietstack.com/webhooks/test/ports"
)

func TestNoPortIsHandedOutTwice(t *testing.T) {
	seen := map[string]bool{}
	for range 2000 {
		address, err := ports.FreeAddress()
		if err != nil {
			t.Fatal(err)
		}
		if seen[address] {
			t.Fatalf("%s was handed out twice", address)
		}
		seen[address] = true
	}
}

func TestAPortInUseIsPassedOver(t *testing.T) {
	address, err := ports.FreeAddress()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatalf("%s is not free: %v", address, err)
	}
	defer listener.Close()
	for range 20000 { // once around
		again, err := ports.FreeAddress()
		if err != nil {
			t.Fatal(err)
		}
		if again == address {
			t.Fatalf("%s is in use", address)
		}
	}
}
