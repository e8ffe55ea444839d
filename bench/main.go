// SPDX-License-Identifier: Apache-2.0

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

	"bbmcp.quietstack.com/webhooks/bench/internal/report"
)

// errMissed says that the figures are not as promised.
var errMissed = errors.New("something was missed; the lines with MISSED and FAILED say what")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := runBench(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:gocritic // stop has nothing left to do
	}
}

// runBench is the whole benchmark, or one of the processes that it starts.
func runBench(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case roleLoad:
			return runLoad(ctx)
		case roleReceiver:
			return runReceiver(ctx, args[1:])
		case roleForwarder:
			return runForwarder(ctx, args[1:])
		}
	}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := flags.String("scenario", "", "run these scenarios only, separated by commas: "+strings.Join(unitScenarioNames(), ", "))
	sizeName := flags.String("size", "full", "full: as README.md says; short: a fifth of it, for a look; tiny: to see that it works")
	profiles := flags.String("profile", "", "write CPU profiles of our processes into this `folder`; costs a few per cent")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	found, err := runScenarios(ctx, *only, *sizeName, *profiles)
	if err != nil {
		return err
	}
	line, err := found.Line()
	if err != nil {
		return err
	}
	found.Print(os.Stdout)
	fmt.Printf("\n%s\n", line)
	if !found.Reached() {
		return errMissed
	}
	return nil
}

// runScenarios runs the scenarios that are asked for.
func runScenarios(ctx context.Context, only, sizeName, profiles string) (*report.Report, error) {
	chosen, err := chooseScenarios(only)
	if err != nil {
		return nil, err
	}
	s, ok := sizes()[sizeName]
	if !ok {
		return nil, fmt.Errorf("--size %q: use full, short or tiny", sizeName)
	}
	b, err := newBench(ctx, s, profiles)
	if err != nil {
		return nil, err
	}
	defer b.close()
	found := &report.Report{Machine: report.ThisMachine(ctx, sizeName)}
	for _, u := range units() {
		if slices.ContainsFunc(u.names, func(name string) bool { return slices.Contains(chosen, name) }) {
			found.Scenarios = append(found.Scenarios, b.runUnit(ctx, u, chosen)...)
		}
	}
	return found, nil // one that was interrupted says so
}

// chooseScenarios checks the names of scenarios; none: all.
func chooseScenarios(only string) ([]string, error) {
	if only == "" {
		return unitScenarioNames(), nil
	}
	var chosen []string
	for name := range strings.SplitSeq(only, ",") {
		name = strings.TrimSpace(name)
		if !slices.Contains(unitScenarioNames(), name) {
			return nil, fmt.Errorf("no scenario %q; there are %s", name, strings.Join(unitScenarioNames(), ", "))
		}
		chosen = append(chosen, name)
	}
	return chosen, nil
}
