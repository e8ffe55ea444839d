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

// Cluster is the product in a cluster.
type Cluster struct {
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
func Start(ctx context.Context, options Options) (*Cluster, error) {
	ctrl.SetLogger(logr.Discard()) // the client library complains unless somebody decides
	c := &Cluster{options: options, Config: options.Target.Config, render: renderChart, stop: make(chan struct{})}
	c.hangUp = sync.OnceFunc(func() { close(c.stop) })
	bounded := rest.CopyConfig(c.Config)
	bounded.Timeout = requestWithin
	var err error
	if c.Client, err = client.NewWithWatch(bounded, client.Options{Scheme: stack.Scheme()}); err != nil {
		return c, fmt.Errorf("the context %q is not usable: %w", options.Target.Context, err)
	}
	if err := c.clear(ctx); err != nil {
		return c, err
	}
	image, err := c.image(ctx)
	if err != nil {
		return c, err
	}
	if err := c.install(ctx, image); err != nil {
		return c, err
	}
	return c, c.connect(ctx)
}

// clear refuses a cluster in which the product is installed, and removes what a demo before left.
func (c *Cluster) clear(ctx context.Context) error {
	found, err := c.look(ctx)
	if err != nil {
		return err
	}
	if found == nothing {
		return nil
	}
	if found == foreign {
		return fmt.Errorf("the product or a namespace %s is in the cluster of the context %q already, and the demo did not make it: "+
			"docs/getting-started.md works there; to see the demo, uninstall the product or choose another cluster", Namespace, c.options.Target.Context)
	}
	c.mine = true
	c.options.Progress("removing what an earlier demo left")
	err = c.remove(ctx)
	if _, hopeless := errors.AsType[hopelessError](err); err == nil || hopeless {
		c.mine, c.uid = false, ""
	}
	return err
}

// image is what the Pods run: that of the user, or one that is built and brought to the nodes.
func (c *Cluster) image(ctx context.Context) (Image, error) {
	if c.options.Image != "" {
		return Image{Name: c.options.Image}, nil
	}
	arch, err := architecture(ctx, c.Client)
	if err != nil {
		return Image{}, err
	}
	c.options.Progress("building manager, gateway, dispatcher and receiver for linux/" + arch + " (minutes the first time, seconds later)")
	image, err := BuildImage(ctx, c.options.Root, arch)
	if err != nil {
		return Image{}, err
	}
	c.options.Progress("bringing the image " + image.Name + " to the nodes")
	return image, bring(ctx, c.options.Target, image)
}

// connect makes the token and forwards ports to this machine.
func (c *Cluster) connect(ctx context.Context) error {
	var err error
	if c.Token, err = stack.NewToken(ctx, c.Client, Namespace, "demo", c.options.Roles); err != nil {
		return err
	}
	gateway, err := c.readyPod(ctx, "app.kubernetes.io/component", "gateway")
	if err != nil {
		return err
	}
	if c.Gateway, err = c.forward(ctx, gateway, gatewayPort); err != nil {
		return err
	}
	c.Receiver, err = c.forward(ctx, receiverName, receiverPort)
	return err
}

// Stop takes away what Start made. It works after the end of the context that Start was given, too.
func (c *Cluster) Stop() error {
	c.hangUp()
	if !c.mine {
		return nil
	}
	err := c.remove(context.Background())
	if _, hopeless := errors.AsType[hopelessError](err); err == nil || hopeless {
		return err
	}
	return errors.Join(err, fmt.Errorf("something of the demo is left in the cluster of the context %q: the next make demo CLUSTER=current "+
		"removes it, and so do: %s", c.options.Target.Context, byHand(c.options.Target.Context)))
}
