// SPDX-License-Identifier: Apache-2.0

package endpoints

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"bbmcp.quietstack.com/webhooks/test/ports"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// ServerProcess is a real server, as a process of its own.
type ServerProcess struct {
	address string
	ca      *receiver.Authority
	process *exec.Cmd
	dir     string
}

// ErrNotInstalled says that the program is not on this machine.
var ErrNotInstalled = errors.New("not installed")

const (
	startTimeout = 10 * time.Second
	// lookEvery is how often a program is asked whether it listens.
	lookEvery = 20 * time.Millisecond
	// postsFile is where a server writes the delivery of each request, a line each.
	postsFile = "posts"
)

// StartNode starts a server of Node.js that answers every request with 200 once it
// has read it. It closes connections that have been idle for keepAlive, or a second
// longer; 0 is its default of five seconds.
func StartNode(keepAlive time.Duration) (*ServerProcess, error) {
	program := `const [host, port, idle, posts] = process.argv.slice(1);
const fs = require("fs").promises;
const server = require("http").createServer((request, answer) => {
  request.resume();
  request.on("end", async () => {
    await fs.appendFile(posts, request.headers["x-bbmcp-delivery"] + "\n");
    answer.end("ok");
  });
});
if (+idle > 0) server.keepAliveTimeout = +idle;
server.listen(+port, host);`
	return startServerProcess("node", nil, func(dir, host, port string) []string {
		return []string{"-e", program, host, port, strconv.FormatInt(keepAlive.Milliseconds(), 10), filepath.Join(dir, postsFile)}
	})
}

// StartNginx starts nginx with HTTP/2 over TLS, which closes a connection after so
// many requests, and answers each with 204.
func StartNginx(requestsPerConnection int) (*ServerProcess, error) {
	authority, err := receiver.NewAuthority()
	if err != nil {
		return nil, err
	}
	return startServerProcess("nginx", authority, func(dir, host, port string) []string {
		config := fmt.Sprintf(`daemon off; master_process off; worker_processes 1; pid %[1]s/pid; error_log %[1]s/error.log;
events { worker_connections 1024; }
http {
  log_format deliveries $http_x_bbmcp_delivery; access_log %[1]s/%[5]s deliveries; keepalive_requests %[2]d;
  client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
  server {
    listen %[3]s:%[4]s ssl http2;
    ssl_certificate %[1]s/cert; ssl_certificate_key %[1]s/key;
    location / { return 204; }
  }
}
`, dir, requestsPerConnection, host, port, postsFile)
		_ = os.WriteFile(filepath.Join(dir, "conf"), []byte(config), 0o600) // nginx says what is wrong with it
		return []string{"-c", filepath.Join(dir, "conf"), "-p", dir}
	})
}

// startServerProcess starts a program on a free port and waits until it listens.
func startServerProcess(program string, ca *receiver.Authority, arguments func(dir, host, port string) []string) (*ServerProcess, error) {
	path, err := exec.LookPath(program)
	if err != nil {
		path, err = exec.LookPath("/usr/sbin/" + program)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", program, ErrNotInstalled)
	}
	s := &ServerProcess{ca: ca}
	if s.address, err = ports.FreeAddress(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "bbmcp"); err != nil {
		return nil, err
	}
	if ca != nil {
		if err := s.writeCertificate(); err != nil {
			s.Close()
			return nil, err
		}
	}
	_, port, _ := net.SplitHostPort(s.address) // ports.FreeAddress joined them
	var said strings.Builder
	s.process = exec.Command(path, arguments(s.dir, endpointListenHost(), port)...)
	s.process.Stderr = &said
	if err = s.process.Start(); err == nil {
		err = s.awaitListening()
	}
	if err != nil {
		s.Close() // nothing is said any more
		return nil, fmt.Errorf("start %s: %w\n%s", program, err, said.String())
	}
	return s, nil
}

func (s *ServerProcess) awaitListening() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(ctx, "tcp", s.address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

func (s *ServerProcess) writeCertificate() error {
	certificate, err := s.ca.Issue(time.Now().Add(24*time.Hour), "127.0.0.1")
	if err != nil {
		return err
	}
	cert, key, err := receiver.EncodeCertificate(certificate)
	if err != nil {
		return err
	}
	return errors.Join(os.WriteFile(filepath.Join(s.dir, "cert"), cert, 0o600), os.WriteFile(filepath.Join(s.dir, "key"), key, 0o600))
}

// Addr is where it listens, host:port.
func (s *ServerProcess) Addr() string { return s.address }

// URL is where it is.
func (s *ServerProcess) URL() string {
	if s.ca != nil {
		return "https://" + s.address + "/"
	}
	return "http://" + s.address + "/"
}

// CA is the authority that signed its certificate; nil without TLS.
func (s *ServerProcess) CA() *receiver.Authority { return s.ca }

// Deliveries are those of which a whole request has arrived.
func (s *ServerProcess) Deliveries() (Deliveries, error) {
	posts, err := os.ReadFile(filepath.Join(s.dir, postsFile))
	if err != nil {
		return nil, err
	}
	deliveries := Deliveries{}
	for id := range strings.Lines(string(posts)) {
		deliveries[strings.TrimSpace(id)]++
	}
	return deliveries, nil
}

// Close ends it.
func (s *ServerProcess) Close() {
	if s.process != nil && s.process.Process != nil {
		_ = s.process.Process.Kill()
		_ = s.process.Wait()
	}
	_ = os.RemoveAll(s.dir)
}
