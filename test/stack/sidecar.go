// SPDX-License-Identifier: Apache-2.0

package stack

import (
	"path/filepath"
	"slices"
	"sync"

	"bbmcp.quietstack.com/webhooks/internal/childprocess"
)

// sidecar is the dispatcher beside a manager or a gateway.
type sidecar struct {
	stack          *Stack
	name, socket   string
	dispatcherArgs []string
	memoryLimit    int64

	mu         sync.Mutex
	dispatcher *childprocess.Process
	stopping   bool
}

// newSidecar describes the dispatcher of the process of this name, which has
// this role. Receivers on loopback are allowed, by http too, and what is wrong with
// them is told as of public ones.
func (s *Stack) newSidecar(role, name, metricsAddress string, args []string) *sidecar {
	own := []string{"--allow-cidr=127.0.0.0/8", "--allow-http", "--metrics-address=" + metricsAddress}
	if !s.elder {
		own = append(own, "--explain-allowed")
	}
	return &sidecar{
		stack: s, name: name, socket: filepath.Join(s.Dir, name+".sock"), memoryLimit: s.installed[role].sidecarMemory,
		dispatcherArgs: slices.Concat(s.installed[role].sidecar, own, args),
	}
}

func (c *sidecar) startSidecar(supervise bool) error {
	if err := c.StartDispatcher(); err != nil {
		return err
	}
	if supervise {
		go c.supervise()
	}
	return nil
}

// StartDispatcher starts the sidecar, again if it had ended.
func (c *sidecar) StartDispatcher() error {
	process, err := c.stack.launchConfined(nil, c.memoryLimit, c.name+"-dispatcher", c.stack.Binaries.Dispatcher,
		append(slices.Clone(c.dispatcherArgs), "--socket="+c.socket)...)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.dispatcher = process
	c.mu.Unlock()
	return nil
}

// Dispatcher is the sidecar as it runs now.
func (c *sidecar) Dispatcher() *childprocess.Process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.dispatcher
}

func (c *sidecar) supervise() {
	for {
		<-c.Dispatcher().Done()
		c.mu.Lock()
		stopping := c.stopping
		c.mu.Unlock()
		if stopping || c.StartDispatcher() != nil {
			return
		}
	}
}

func (c *sidecar) endDispatcher() {
	c.mu.Lock()
	c.stopping = true
	dispatcher := c.dispatcher
	c.mu.Unlock()
	dispatcher.Stop(0)
}
