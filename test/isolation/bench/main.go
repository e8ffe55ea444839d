// SPDX-License-Identifier: Apache-2.0

// Command bench measures isolation: 200 webhooks whose endpoints hang, with
// more pending deliveries than ten times all slots, beside five healthy webhooks
// in the same and in another namespace. Runs with and without those that hang
// take turns, each with a control plane and a manager of its own; medians count.
//
// It prints every run and ends with PASS, or with FAIL and exit status 1, if the
// healthy p99 from creation to POST is more than twice its figure without, and
// more than 50 ms above it, or healthy throughput is less than 80 % of it.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"syscall"
	"time"

	"bbmcp.quietstack.com/webhooks/test/isolation"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

const (
	allowedFactor     = 2
	allowedMore       = 50 * time.Millisecond
	allowedThroughput = 0.8
)

// errMissed says that the figures are not as good as promised.
var errMissed = errors.New("isolation is not as promised")

// settings are the size of the measurement.
type settings struct {
	runs, slots, hanging, pending, healthy int
	rate, paced, burst                     int
	verbose                                bool
}

func main() {
	var s settings
	flag.IntVar(&s.runs, "runs", 5, "runs with, and as many without")
	flag.IntVar(&s.slots, "unsettled", 512, "slots of the manager")
	flag.IntVar(&s.hanging, "hanging", 200, "webhooks whose endpoints hang")
	flag.IntVar(&s.pending, "pending", 6000, "deliveries to them from the beginning; more than ten times the slots must be left at the end")
	flag.IntVar(&s.healthy, "healthy", 5, "webhooks whose endpoint answers")
	flag.IntVar(&s.rate, "rate", 30, "deliveries a second to the healthy ones, all together")
	flag.IntVar(&s.paced, "paced", 600, "deliveries at that rate in each run")
	flag.IntVar(&s.burst, "burst", 1000, "deliveries as fast as possible in each run, for throughput")
	flag.BoolVar(&s.verbose, "v", false, "say what is being done")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := s.measure(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:gocritic // stop has nothing left to do
	}
}

// figures are what one run shows.
type figures struct {
	created           time.Duration // p99 of the creation alone
	p50, p99, longest time.Duration // from creation to POST
	throughput        float64       // deliveries a second
	pending           int           // at the end
}

func (s *settings) measure(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "bbmcp-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binaries, err := stack.Build(ctx, dir, s.progress)
	if err != nil {
		return err
	}
	fmt.Printf("%d healthy webhooks at %d deliveries a second; beside them none, or %d that hang with %d deliveries; %d slots\n\n",
		s.healthy, s.rate, s.hanging, s.pending, s.slots)
	fmt.Println("run  hanging  p99 create   p50 ms   p99 ms   max ms  deliveries/s  pending at the end")
	var without, with []figures
	for run := range s.runs {
		for _, hanging := range []int{0, s.hanging} {
			one, err := s.run(ctx, binaries, hanging)
			if err != nil {
				return fmt.Errorf("run %d with %d that hang: %w", run+1, hanging, err)
			}
			fmt.Printf("%3d  %7d  %s  %18d\n", run+1, hanging, one, one.pending)
			if hanging == 0 {
				without = append(without, one)
			} else {
				with = append(with, one)
			}
		}
	}
	return verdict(median(without), median(with))
}

func (s *settings) progress(text string) {
	if s.verbose {
		fmt.Fprintln(os.Stderr, text)
	}
}

// run measures once, on a control plane of its own.
func (s *settings) run(ctx context.Context, binaries stack.Binaries, hanging int) (one figures, err error) {
	options := isolation.Options{
		Healthy: s.healthy, Hanging: hanging, Binaries: binaries, Progress: s.progress,
		ManagerArgs: []string{"--unsettled=" + strconv.Itoa(s.slots)},
	}
	if hanging > 0 {
		options.Pending = s.pending
	}
	w, err := isolation.Start(ctx, options)
	if err != nil {
		return one, err
	}
	defer func() { err = errors.Join(err, w.Stop()) }()
	times, err := w.Paced(ctx, s.paced, time.Second/time.Duration(s.rate))
	if err != nil {
		return one, err
	}
	posted := times.Posted
	one.p50, one.p99, one.longest = isolation.Percentile(posted, 50), isolation.Percentile(posted, 99), posted[len(posted)-1]
	one.created = isolation.Percentile(times.Created, 99)
	if one.throughput, err = w.Burst(ctx, s.burst); err != nil {
		return one, err
	}
	if one.pending, err = w.Pending(ctx); err != nil {
		return one, err
	}
	if hanging > 0 && one.pending <= 10*s.slots {
		return one, fmt.Errorf("only %d deliveries were pending at the end, not more than ten times %d slots", one.pending, s.slots)
	}
	return one, nil
}

// median takes the median of each figure by itself.
func median(runs []figures) figures {
	return figures{
		created:    middle(runs, func(f figures) time.Duration { return f.created }),
		p50:        middle(runs, func(f figures) time.Duration { return f.p50 }),
		p99:        middle(runs, func(f figures) time.Duration { return f.p99 }),
		longest:    middle(runs, func(f figures) time.Duration { return f.longest }),
		throughput: middle(runs, func(f figures) float64 { return f.throughput }),
	}
}

func middle[T cmp.Ordered](runs []figures, of func(figures) T) T {
	values := make([]T, 0, len(runs))
	for _, one := range runs {
		values = append(values, of(one))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

// verdict compares the medians with what is promised.
func verdict(without, with figures) error {
	allowed := max(allowedFactor*without.p99, without.p99+allowedMore)
	share := with.throughput / without.throughput
	fmt.Printf("\nmedians\n     without  %s\n        with  %s\n\n", without, with)
	fast := line("p99 from creation to POST", with.p99 <= allowed,
		fmt.Sprintf("%s ms with, %s ms without, %s ms allowed", milliseconds(with.p99), milliseconds(without.p99), milliseconds(allowed)))
	many := line("throughput", share >= allowedThroughput,
		fmt.Sprintf("%.0f %% of that without, %.0f %% needed", 100*share, 100*allowedThroughput))
	if !fast || !many {
		fmt.Println("FAIL")
		return errMissed
	}
	fmt.Println("PASS")
	return nil
}

func line(what string, good bool, figures string) bool {
	word := "good"
	if !good {
		word = "MISSED"
	}
	fmt.Printf("%-26s %-7s %s\n", what, word, figures)
	return good
}

func (f figures) String() string {
	return fmt.Sprintf("%10s%9s%9s%9s  %12.0f", milliseconds(f.created), milliseconds(f.p50), milliseconds(f.p99), milliseconds(f.longest), f.throughput)
}

func milliseconds(d time.Duration) string {
	return strconv.FormatFloat(float64(d.Microseconds())/1000, 'f', 1, 64)
}
