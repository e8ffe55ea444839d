// SPDX-License-Identifier: Apache-2.0

package current

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/test/stack"
)

// Namespace is where everything of the demo is.
const Namespace = "bbmcp-demo"

// label marks what the demo makes.
const label = "bbmcp.quietstack.com/demo"

// requestWithin bounds a request to the API server.
const requestWithin = 30 * time.Second

// Options say where the product is brought up and from what.
type Options struct {
	Target Target
	// Root is the tree.
	Root string
	// Image is the name of an image that the nodes have or pull; empty: one is built and brought to them.
	Image string
	// Roles are those of the token.
	Roles []string
	// Progress is told what is being done.
	Progress func(string)
}

// DemoCluster is the product in a cluster.
type DemoCluster struct {
	// Client and Config are the user's way in.
	Client client.WithWatch
	Config *rest.Config
	// Gateway and Receiver are the URLs of the two, forwarded to this machine.
	Gateway, Receiver string
	// Endpoint is the URL of the receiver as the dispatchers reach it.
	Endpoint string
	// Token is one of a ServiceAccount with the roles.
	Token string

	options Options
	render  func(ctx context.Context, root string, image Image, reachable ...string) ([]*unstructured.Unstructured, error)
	mine    bool      // the namespace and what is beside it were made by this run, or left by one before
	uid     types.UID // of that namespace; empty: not known
	hangUp  func()
	stop    chan struct{}
}

// Start brings the product up. The caller calls Stop, whatever is returned.
func Start(ctx context.Context, options Options) (*DemoCluster, error) {
	ctrl.SetLogger(logr.Discard()) // the client library complains unless somebody decides
	c := &DemoCluster{options: options, Config: options.Target.Config, render: renderChart, stop: make(chan struct{})}
	c.hangUp = sync.OnceFunc(func() { close(c.stop) })
	bounded := rest.CopyConfig(c.Config)
	bounded.Timeout = requestWithin
	var err error
	if c.Client, err = client.NewWithWatch(bounded, client.Options{Scheme: stack.Scheme()}); err != nil {
		return c, fmt.Errorf("the context %q is not usable: %w", options.Target.Context, err)
	}
	if err := c.removeLeftovers(ctx); err != nil {
		return c, err
	}
	image, err := c.prepareImage(ctx)
	if err != nil {
		return c, err
	}
	if err := c.install(ctx, image); err != nil {
		return c, err
	}
	return c, c.connect(ctx)
}

// connect makes the token and forwards ports to this machine.
func (c *DemoCluster) connect(ctx context.Context) error {
	var err error
	if c.Token, err = stack.NewToken(ctx, c.Client, Namespace, "demo", c.options.Roles); err != nil {
		return err
	}
	gateway, err := c.waitForReadyPod(ctx, "app.kubernetes.io/component", "gateway")
	if err != nil {
		return err
	}
	if c.Gateway, err = c.forwardPort(ctx, gateway, gatewayPort); err != nil {
		return err
	}
	c.Receiver, err = c.forwardPort(ctx, receiverName, receiverPort)
	return err
}

// Stop takes away what Start made. It works after the end of the context that Start was given, too.
func (c *DemoCluster) Stop() error {
	c.hangUp()
	if !c.mine {
		return nil
	}
	err := c.remove(context.Background())
	if _, hopeless := errors.AsType[hopelessError](err); err == nil || hopeless {
		return err
	}
	return errors.Join(err, fmt.Errorf("something of the demo is left in the cluster of the context %q: the next make demo CLUSTER=current "+
		"removes it, and so do: %s", c.options.Target.Context, removeCommands(c.options.Target.Context)))
}
