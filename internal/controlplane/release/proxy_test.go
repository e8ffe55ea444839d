// SPDX-License-Identifier: Apache-2.0

package release

import (
	"bufio"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// playVariable makes the test binary ask a host that only a proxy could reach.
const playVariable = "RELEASE_TEST_BEHIND_PROXY"

// A process reads the variables of proxies once, so another one plays.
func TestProxy(t *testing.T) {
	if os.Getenv(playVariable) != "" {
		d := &Downloader{Hosts: []string{"release.test"}, Patience: ample}
		f := File{URL: "https://release.test/etcd", Digest: sha256Of(nil), Binaries: []string{"etcd"}, MaxSize: 1}
		_, err := d.Fetch(t.Context(), f, t.TempDir())
		t.Fatal(err)
	}
	proxy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close()
	asked := make(chan string, 1)
	go func() {
		conn, err := proxy.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if r, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			asked <- r.Method + " " + r.Host
		}
		_, _ = conn.Write([]byte("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"))
	}()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProxy$")
	cmd.Env = append(os.Environ(), playVariable+"=1", "HTTPS_PROXY=http://me:password@"+proxy.Addr().String(), "https_proxy=", "NO_PROXY=", "no_proxy=")
	said, _ := cmd.CombinedOutput()
	want := "release.test through the proxy " + proxy.Addr().String() + ": no answer: Forbidden"
	if !strings.Contains(string(said), want) || strings.Contains(string(said), "password") {
		t.Errorf("said %s, want %q and no password", said, want)
	}
	if got := <-asked; got != "CONNECT release.test:443" {
		t.Errorf("the proxy was asked for %q", got)
	}
}
