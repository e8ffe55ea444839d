// SPDX-License-Identifier: Apache-2.0

package dispatcher_test

import (
	"context"
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher"
	"bbmcp.quietstack.com/webhooks/dispatcher/netguard"
	"bbmcp.quietstack.com/webhooks/test/receiver"
)

// BenchmarkSend measures a delivery of 1 KiB from Client.Send through the socket
// to a receiver on loopback and back, client, dispatcher and receiver in one
// process: its CPU time is that of all three.
func BenchmarkSend(b *testing.B) {
	for _, bench := range []struct {
		name   string
		secure bool
	}{{"http", false}, {"https", true}} {
		b.Run(bench.name, func(b *testing.B) { benchmarkSend(b, bench.secure) })
	}
}

func benchmarkSend(b *testing.B, secure bool) {
	receiverOptions := receiver.Options{Keep: -1}
	options := dispatcher.SenderOptions{Policy: netguard.New(netguard.Options{Allow: loopback(), AllowHTTP: true}), Snippets: true}
	if secure {
		authority, err := receiver.NewAuthority()
		if err != nil {
			b.Fatal(err)
		}
		if receiverOptions.Certificate, err = authority.Issue(time.Now().Add(time.Hour), "127.0.0.1"); err != nil {
			b.Fatal(err)
		}
		options.RootCAs = authority.Pool()
	}
	r, err := receiver.Start(receiverOptions)
	if err != nil {
		b.Fatal(err)
	}
	defer r.Close()
	sender, err := dispatcher.NewSender(options)
	if err != nil {
		b.Fatal(err)
	}
	path := filepath.Join(b.TempDir(), "s")
	listener, err := net.Listen("unix", path)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	go func() { _ = dispatcher.NewServer(sender, nil).Serve(ctx, listener, time.Second) }()
	client := dispatcher.NewClient(path)
	defer client.Close()

	request := attemptAt(r.URL("/"))
	request.Payload = append([]byte(`{"event":"context.created","data":"`), make([]byte, 1024)...)
	b.SetParallelism(16)
	b.ReportAllocs()
	before := cpuTime()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if result, err := client.Send(ctx, request); err != nil || !result.Succeeded() {
				b.Errorf("%+v, %v", result, err)
				return
			}
		}
	})
	b.ReportMetric(float64(cpuTime()-before)/float64(time.Millisecond)/float64(b.N), "cpu-ms/op")
}

func cpuTime() time.Duration {
	var usage syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
