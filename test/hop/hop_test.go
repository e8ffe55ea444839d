// SPDX-License-Identifier: Apache-2.0

package hop

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
)

// The benchmark starts itself once more as the server.
const (
	serveVariable  = "HOP_SERVE"
	socketVariable = "HOP_SOCKET"
)

const (
	payloadBytes = 1 << 10
	largeBytes   = 256 << 10
	answerBytes  = 100
)

func TestMain(m *testing.M) {
	if name := os.Getenv(serveVariable); name != "" {
		if err := serve(name, os.Getenv(socketVariable)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// serve answers calls until stdin ends, and tells its CPU time for each line.
func serve(name, path string) error {
	at := slices.IndexFunc(transports(), func(t transport) bool { return t.name == name })
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	go func() { _ = transports()[at].serve(listener, sign) }()
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		fmt.Println(int64(cpuTime()))
	}
	return nil
}

// sign is what a dispatcher does with an attempt, but for the POST.
func sign(body []byte) []byte {
	keys := signature.Keys{Primary: signature.NewSecret("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")}
	signed, err := keys.Sign("evt_01JAAAAAAAAAAAAAAAAAAAAAAA", time.Unix(1700000000, 0), body)
	if err != nil {
		return nil
	}
	return append(make([]byte, 0, answerBytes), signed.Signature...)[:answerBytes]
}

func cpuTime() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// BenchmarkHop measures one call: the CPU time of both processes, and how long
// it takes.
func BenchmarkHop(b *testing.B) {
	for _, callers := range []int{1, 32, 128} {
		for _, t := range transports() {
			b.Run(fmt.Sprintf("callers=%d/%s", callers, t.name), func(b *testing.B) { benchmark(b, t, callers, 0) })
		}
	}
}

// BenchmarkBeside measures 32 callers with small bodies beside four with bodies
// of 256 KiB: whether the large ones stand in the way.
func BenchmarkBeside(b *testing.B) {
	for _, t := range transports() {
		b.Run(t.name, func(b *testing.B) { benchmark(b, t, 32, 4) })
	}
}

func benchmark(b *testing.B, t transport, callers, large int) {
	dir, err := os.MkdirTemp("", "hop") // short: a socket's path has at most 104 bytes
	if err != nil {
		b.Fatal(err)
	}
	defer os.RemoveAll(dir) // a temporary directory
	path := filepath.Join(dir, "s")
	server := startServer(b, t.name, path)
	defer server.stop()
	call, err := t.dial(path)
	if err != nil {
		b.Fatal(err)
	}
	body := bytes.Repeat([]byte("x"), payloadBytes)
	for range 1000 { // until every connection is open and every pool is filled
		if _, err := call(b.Context(), body); err != nil {
			b.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	var others sync.WaitGroup
	for range large {
		others.Go(func() {
			body := bytes.Repeat([]byte("x"), largeBytes)
			for ctx.Err() == nil {
				_, _ = call(ctx, body)
			}
		})
	}
	took := make([]time.Duration, b.N)
	var next atomic.Int64
	var all sync.WaitGroup
	ours, theirs := cpuTime(), server.cpuTime(b)
	b.ResetTimer()
	for range callers {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(b.N); i = next.Add(1) - 1 {
				began := time.Now()
				if answer, err := call(b.Context(), body); err != nil || len(answer) != answerBytes {
					b.Errorf("%d bytes, %v", len(answer), err)
					return
				}
				took[i] = time.Since(began)
			}
		})
	}
	all.Wait()
	b.StopTimer()
	ours, theirs = cpuTime()-ours, server.cpuTime(b)-theirs
	cancel()
	others.Wait()
	slices.Sort(took)
	each := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) / float64(b.N) }
	if large == 0 {
		b.ReportMetric(each(ours+theirs), "cpu-µs/op")
		b.ReportMetric(each(ours), "client-µs/op")
		b.ReportMetric(each(theirs), "server-µs/op")
	}
	b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-µs")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs")
}

// process is the other side.
type process struct {
	cmd   *exec.Cmd
	ask   *os.File
	lines *bufio.Scanner
}

func startServer(b *testing.B, name, path string) *process {
	b.Helper()
	p := &process{cmd: exec.Command(os.Args[0])}
	p.cmd.Env = append(os.Environ(), serveVariable+"="+name, socketVariable+"="+path)
	p.cmd.Stderr = os.Stderr
	read, write, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	p.cmd.Stdin, p.ask = read, write
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	p.lines = bufio.NewScanner(out)
	if err := p.cmd.Start(); err != nil {
		b.Fatal(err)
	}
	_ = read.Close()
	_ = p.cpuTime(b) // it answers only once it listens
	return p
}

func (p *process) cpuTime(b *testing.B) time.Duration {
	b.Helper()
	if _, err := p.ask.WriteString("\n"); err != nil || !p.lines.Scan() {
		b.Fatal("the server has ended")
	}
	n, err := strconv.ParseInt(strings.TrimSpace(p.lines.Text()), 10, 64)
	if err != nil {
		b.Fatal(err)
	}
	return time.Duration(n)
}

func (p *process) stop() {
	_ = p.ask.Close()
	_ = p.cmd.Wait()
}
