// SPDX-License-Identifier: Apache-2.0

package current

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

// forwardStarts bounds how long a forwarding may take to listen.
const forwardStarts = 30 * time.Second

// forwardPort leads from a free port of this machine to a port of a Pod of the demo, as kubectl port-forward does, until the
// demo stops. It returns the URL. A forwarding that ends before is told.
func (c *DemoCluster) forwardPort(ctx context.Context, pod string, port int32) (string, error) {
	describe := func(err error) error { return fmt.Errorf("forward a port to Pod %s: %w", pod, err) }
	dialer, err := forwardDialer(c.Config, Namespace, pod)
	if err != nil {
		return "", describe(err)
	}
	ready, ended := make(chan struct{}), make(chan error, 1)
	forwarder, err := portforward.NewOnAddressesForStreaming(dialer, []string{"127.0.0.1"}, []string{"0:" + strconv.Itoa(int(port))}, c.stop, ready,
		io.Discard, io.Discard)
	if err != nil {
		return "", describe(err)
	}
	go func() { ended <- forwarder.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-ended:
		return "", describe(err)
	case <-ctx.Done():
		return "", describe(ctx.Err())
	case <-time.After(forwardStarts):
		return "", describe(fmt.Errorf("no answer within %s", forwardStarts))
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		return "", describe(err)
	}
	go c.watchForward(pod, ended)
	return fmt.Sprintf("http://127.0.0.1:%d", ports[0].Local), nil
}

// watchForward says when a forwarding has ended unless the demo has ended it.
func (c *DemoCluster) watchForward(pod string, ended <-chan error) {
	err := <-ended
	select {
	case <-c.stop:
	default:
		c.options.Progress(fmt.Sprintf("the port that was forwarded to Pod %s does not lead there any more (%v): stop the demo and start it again", pod, err))
	}
}

// forwardDialer speaks WebSocket with the API server, or SPDY where that is refused, by a proxy say.
func forwardDialer(config *rest.Config, namespace, pod string) (httpstream.Dialer, error) {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	address := client.CoreV1().RESTClient().Post().Resource("pods").Namespace(namespace).Name(pod).SubResource("portforward").URL()
	transport, upgrader, err := spdy.RoundTripperFor(config)
	if err != nil {
		return nil, err
	}
	first, err := portforward.NewSPDYOverWebsocketDialerForStreaming(address, config)
	if err != nil {
		return nil, err
	}
	second := spdy.NewDialerForStreaming(upgrader, &http.Client{Transport: transport}, http.MethodPost, address)
	return portforward.NewFallbackDialerForStreaming(first, second, func(err error) bool {
		return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err)
	}), nil
}
