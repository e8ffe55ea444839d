// SPDX-License-Identifier: Apache-2.0

// Command demo shows the product at work: a Webhook is applied, events are
// published to it, a receiver verifies their signatures, and refuses one of them
// once, which is retried.
//
// Without --cluster it does so on this machine: a real control plane, manager and
// gateway with their dispatchers, and the receiver, each a process of its own.
// With --cluster=current it installs the chart in the cluster of the kubeconfig.
//
// With --once it stops everything when the deliveries have arrived; without, it
// stays up until Ctrl-C. It takes away what it made.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"runtime"
	"time"

	"bbmcp.quietstack.com/webhooks/hack/demo/current"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

// demoFlags are the flags.
type demoFlags struct {
	once, archive           bool
	cluster, context, image string
}

func main() {
	var f demoFlags
	flag.BoolVar(&f.once, "once", false, "stop when the example deliveries have arrived")
	flag.StringVar(&f.cluster, "cluster", "", "`current`: the cluster of the kubeconfig instead of a control plane on this machine")
	flag.StringVar(&f.context, "context", "", "with --cluster: the `name` of the current context, for a cluster that no known tool made on this machine")
	flag.StringVar(&f.image, "image", "", "with --cluster: the `name` of an image that its nodes have or pull; empty: build one and bring it to them")
	flag.BoolVar(&f.archive, "archive", false, "build the archive of that image for this machine's architecture, print its name, and end")
	flag.Parse()
	ctx, stop := stopOnSignals(context.Background())
	defer stop()
	if err := f.runDemo(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1) //nolint:gocritic // stop has nothing left to do
	}
}

// runDemo runs the demo that the flags choose.
func (f demoFlags) runDemo(ctx context.Context) error {
	started := time.Now()
	say := func(text string) { fmt.Printf("%6.1fs  %s\n", time.Since(started).Seconds(), text) }
	root, err := stack.Root(ctx)
	if err != nil {
		return err
	}
	if f.archive {
		image, err := current.BuildImage(ctx, root, runtime.GOARCH)
		if err == nil {
			fmt.Println(image.Name, image.Archive)
		}
		return err
	}
	d := newDemo(root, say)
	switch f.cluster {
	case "":
		d.place = &localPlace{say: say}
	case "current":
		target, err := current.FindTarget(f.context)
		if err != nil {
			return err
		}
		say(fmt.Sprintf("using the context %q of the kubeconfig: Kubernetes %s at %s", target.Context, target.Version, target.Server))
		d.place = &clusterPlace{options: current.Options{Target: target, Root: root, Image: f.image, Roles: demoRoles, Progress: say}}
	default:
		return fmt.Errorf("CLUSTER=%s: it is current, for the cluster of the kubeconfig, or nothing, for one on this machine", f.cluster)
	}
	return d.run(ctx, f.once)
}
