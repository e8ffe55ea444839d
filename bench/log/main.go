// SPDX-License-Identifier: Apache-2.0

// Command log measures the engine of the log alone: nats-server, embedded in a process of its own, with the streams and
// the group commit of the backlog, and none of the product. README.md says what each scenario shows.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// errMissed says that a figure is not as wanted.
var errMissed = errors.New("something was missed; the lines with MISSED and FAILED say what")

// spike is one run of the program.
type spike struct {
	self       string        // this program
	dir        string        // a folder of its own; many-parked keeps its store here
	fsync      time.Duration // of the slow disk
	scale      float64
	variants   string // a part of the names of the ways that fan and many try; empty: all
	perFrame   bool   // one frame a message, in read and many-parked
	streams    int    // of parked lots, in read and many-parked
	namespaces int    // that the webhooks of many are in
	report     *report
	beganAt    time.Time
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "log:", err)
		os.Exit(1) //nolint:gocritic // stop has nothing left to do
	}
}

// run is the whole measurement, or one of the processes that it starts.
func run(ctx context.Context, args []string) error {
	if len(args) > 0 && args[0] == roleLog {
		return serveLog(ctx, args[1:])
	}
	if len(args) > 0 && args[0] == roleDisk {
		return serveDisk(args[1:])
	}
	s := &spike{report: newReport(), beganAt: time.Now()}
	flags := flag.NewFlagSet("log", flag.ContinueOnError)
	chosen := flags.String("scenario", "", "what to run, separated by commas; empty: all of fan, many, power, read, many-parked")
	parent := flags.String("dir", os.TempDir(), "the `folder` for the stores of read and many-parked, 8 GiB at most")
	flags.DurationVar(&s.fsync, "fsync", 5*time.Millisecond, "how long the disk of fan and many takes for an fsync")
	flags.Float64Var(&s.scale, "scale", 1, "1: as README.md says; 0.1: a look")
	flags.StringVar(&s.variants, "only", "", "of fan and many: the ways whose names contain this `text`")
	flags.BoolVar(&s.perFrame, "per-frame", false, "of read and many-parked: one frame a message")
	flags.IntVar(&s.streams, "streams", 4*parkedStreams, "of read and many-parked: how many streams the lots are in")
	flags.IntVar(&s.namespaces, "namespaces", 20, "of many: how many namespaces the webhooks are in")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var err error
	if s.self, err = os.Executable(); err != nil {
		return err
	}
	if s.dir, err = os.MkdirTemp(*parent, "bench-log-"); err != nil {
		return err
	}
	defer os.RemoveAll(s.dir)
	names := strings.FieldsFunc(*chosen, func(r rune) bool { return r == ',' })
	for _, name := range names {
		if !slices.ContainsFunc(scenarios(), func(one scenario) bool { return one.name == name }) {
			return fmt.Errorf("there is no scenario %q", name)
		}
	}
	for _, one := range scenarios() {
		if len(names) > 0 && !slices.Contains(names, one.name) || ctx.Err() != nil {
			continue
		}
		if err := one.run(ctx, s); err != nil {
			s.report.fail(one.name, err)
		}
	}
	return s.report.print(os.Stdout)
}

type scenario struct {
	name string
	run  func(context.Context, *spike) error
}

// scenarios are in the order in which they run.
func scenarios() []scenario {
	return []scenario{
		{"fan", func(ctx context.Context, s *spike) error { return s.runLoad(ctx, "fan") }},
		{"many", func(ctx context.Context, s *spike) error { return s.runLoad(ctx, "many") }},
		{"power", func(ctx context.Context, s *spike) error { return s.runPower(ctx) }},
		{"read", func(ctx context.Context, s *spike) error { return s.runRead(ctx) }},
		{"many-parked", func(ctx context.Context, s *spike) error { return s.runManyParked(ctx) }},
	}
}

// scaled is a number of things, or of seconds, at the scale of this run.
func (s *spike) scaled(n int) int { return max(1, int(float64(n)*s.scale)) }

// say tells people what is being done.
func (s *spike) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%5.0f s  %s\n", time.Since(s.beganAt).Seconds(), fmt.Sprintf(format, args...))
}
