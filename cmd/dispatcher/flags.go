// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"time"

	"bbmcp.quietstack.com/webhooks/dispatcher"
)

// defaultGrace lets the longest attempt end and its result be taken.
const defaultGrace = dispatcher.MaxTimeout + 5*time.Second

type options struct {
	socket         string
	allow, deny    prefixesFlag
	allowHTTP      bool
	explainAllowed bool
	caBundle       string
	snippets       bool
	metricsAddress string
	pprofAddress   string
	logLevel       slog.Level
	shutdownGrace  time.Duration
}

// prefixesFlag is a flag that may be repeated and takes lists separated by commas.
type prefixesFlag []netip.Prefix

// String implements flag.Value.
func (p *prefixesFlag) String() string {
	texts := make([]string, 0, len(*p))
	for _, prefix := range *p {
		texts = append(texts, prefix.String())
	}
	return strings.Join(texts, ",")
}

// Set implements flag.Value. A single address stands for itself.
func (p *prefixesFlag) Set(value string) error {
	for text := range strings.SplitSeq(value, ",") {
		text = strings.TrimSpace(text)
		if text == "" {
			continue
		}
		prefix, err := netip.ParsePrefix(text)
		if addr, addrErr := netip.ParseAddr(text); err != nil && addrErr == nil {
			prefix, err = addr.Prefix(addr.BitLen())
		}
		if err != nil {
			return errors.New("want an address or a range such as 10.0.0.0/8")
		}
		if prefix != prefix.Masked() {
			return fmt.Errorf("%s has bits beyond its length: %s is meant?", prefix, prefix.Masked())
		}
		*p = append(*p, prefix)
	}
	return nil
}

func parseFlags(name string, args []string, output io.Writer) (*options, error) {
	o := &options{}
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(output)
	flags.StringVar(&o.socket, "socket", "/run/bbmcp/dispatcher.sock", "`path` of the unix socket to serve attempts on")
	flags.Var(&o.allow, "allow-cidr", "`range` of addresses that may be reached although they are not public, for all tenants; may be repeated. A cloud's metadata address needs a range of its own")
	flags.Var(&o.deny, "deny-cidr", "`range` of addresses that must not be reached, such as those of nodes; wins over --allow-cidr; may be repeated")
	flags.BoolVar(&o.allowHTTP, "allow-http", false, "let endpoints use http")
	flags.BoolVar(&o.explainAllowed, "explain-allowed", false, "tell users why an attempt to an address of --allow-cidr failed, as they are told of public ones; else they learn only that no HTTP answer came, and the log says why. Whoever may create Webhooks can find out with it which ports there are open, and what listens")
	flags.StringVar(&o.caBundle, "ca-bundle", "", "`file` of PEM certificates of authorities to trust beside the system's")
	flags.BoolVar(&o.snippets, "response-snippet", true, "pass the beginning of endpoints' answers on, to be shown to users")
	flags.StringVar(&o.metricsAddress, "metrics-address", "", "TCP `address` for /metrics, /healthz and /readyz; empty for none")
	flags.StringVar(&o.pprofAddress, "pprof-address", "0", "TCP `address` of Go's profiles, on loopback only: it asks nobody for credentials; 0 turns it off")
	flags.TextVar(&o.logLevel, "log-level", slog.LevelInfo, "least `level` to log: debug, info, warn or error")
	flags.DurationVar(&o.shutdownGrace, "shutdown-grace", defaultGrace, "how long attempts in flight may take to end after SIGTERM")
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		err := fmt.Errorf("unexpected argument %q", flags.Arg(0))
		_, _ = fmt.Fprintln(output, err)
		return nil, err
	}
	return o, nil
}

// caBundleRoots returns the system's authorities and those of the bundle; nil for the
// system's alone.
func caBundleRoots(bundle string) (*x509.CertPool, error) {
	if bundle == "" {
		return nil, nil // nil is what package tls takes for the system's
	}
	content, err := os.ReadFile(bundle)
	if err != nil {
		return nil, fmt.Errorf("read CA bundle: %w", err)
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // an image without authorities of its own
	}
	if !pool.AppendCertsFromPEM(content) {
		return nil, fmt.Errorf("CA bundle %s: no PEM certificate in it", bundle)
	}
	return pool, nil
}
