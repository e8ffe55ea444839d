// SPDX-License-Identifier: Apache-2.0

// Command receiver runs the scriptable webhook receiver as a process of its own,
// for demos and for trying things out. It prints one line for every post.
//
//	go run ./hack/receiver --listen 127.0.0.1:9000 \
//	    --script '/flaky=500 x3, 200' --secrets-file secrets.txt
//
// Counts are at GET /_received; scripts and secrets can be set while it runs
// (PUT /_script, PUT /_secrets; see package test/receiver).
package main

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"bbmcp.quietstack.com/webhooks/test/receiver"
)

func main() {
	if err := runTestReceiver(); err != nil {
		fmt.Fprintln(os.Stderr, "receiver:", err)
		os.Exit(1)
	}
}

type scriptFlag map[string][]receiver.Step

func (s scriptFlag) String() string { return "" }

func (s scriptFlag) Set(value string) error {
	path, text, ok := strings.Cut(value, "=")
	if !ok {
		return fmt.Errorf("want path=script")
	}
	steps, err := receiver.ParseScript(text)
	s[path] = steps
	return err
}

func runTestReceiver() error {
	given := scriptFlag{}
	listen := flag.String("listen", "127.0.0.1:9000", "`address` to listen on")
	secretsFile := flag.String("secrets-file", "", "`file` with lines of a path and a secret, separated by a space; * is every path")
	caFile := flag.String("tls-ca-file", "", "speak TLS, and write the authority's certificate to this `file`")
	quiet := flag.Bool("quiet", false, "print no line per post")
	keep := flag.Int("keep", 1000, "how many posts to keep whole; counts have no limit")
	flag.Var(given, "script", "`path=script`, may be repeated: '/a=500 x3, 200'")
	flag.Parse()

	options := receiver.Options{Listen: *listen, Keep: *keep}
	if *keep <= 0 {
		options.Keep = -1
	}
	if !*quiet {
		options.OnReceived = receivedPrinter()
	}
	if *caFile != "" {
		if err := issueReceiverCertificate(&options, *caFile); err != nil {
			return err
		}
	}
	r, err := receiver.Start(options)
	if err != nil {
		return err
	}
	defer r.Close()
	for path, steps := range given {
		r.Script(path, steps...)
	}
	if *secretsFile != "" {
		if err := readReceiverSecrets(r, *secretsFile); err != nil {
			return err
		}
	}
	fmt.Printf("listening on %s\n", r.URL("/"))
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	<-ctx.Done()
	counts := r.Counts("")
	fmt.Printf("received %d posts, %d verified; %d deliveries, %d accepted, %d duplicates\n",
		counts.Posts, counts.Verified, counts.Unique, counts.Accepted, counts.Duplicates)
	return nil
}

func receivedPrinter() func(receiver.Received) {
	var mu sync.Mutex
	return func(one receiver.Received) {
		verified := "NOT VERIFIED"
		if one.Verified() {
			verified = "verified"
		}
		answer := "no answer"
		if one.Status != 0 {
			answer = fmt.Sprint(one.Status)
		}
		mu.Lock()
		defer mu.Unlock()
		fmt.Printf("%s POST %s %s %s attempt %s -> %s, %s\n",
			one.At.Format("15:04:05.000"), one.Path, one.Event, one.Delivery, one.Attempt, answer, verified)
	}
}

func issueReceiverCertificate(options *receiver.Options, caFile string) error {
	authority, err := receiver.NewAuthority()
	if err != nil {
		return err
	}
	options.Certificate, err = authority.Issue(time.Now().Add(24*time.Hour), "localhost", "127.0.0.1", "::1")
	if err != nil {
		return err
	}
	return os.WriteFile(caFile, authority.PEM(), 0o644) // a certificate is public
}

func readReceiverSecrets(r *receiver.Receiver, file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	byPath := map[string][]string{}
	lines := bufio.NewScanner(bytes.NewReader(content))
	for lines.Scan() {
		path, secret, ok := strings.Cut(lines.Text(), " ")
		if !ok {
			continue
		}
		byPath[strings.TrimPrefix(path, "*")] = append(byPath[strings.TrimPrefix(path, "*")], secret)
	}
	for path, secrets := range byPath {
		if err := r.Secrets(path, secrets...); err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
	}
	return nil
}
