// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
	"bbmcp.quietstack.com/webhooks/internal/childprocess"
	"bbmcp.quietstack.com/webhooks/internal/controlplane"
	"bbmcp.quietstack.com/webhooks/test/procstat"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

const (
	// neighbourSpace is the neighbour's namespace.
	neighbourSpace = "neighbour"
	// confinedShare of a container's limit is what Go's collector keeps to, as
	// where the process knows the limit by itself.
	confinedShare = 0.9

	// treeVariable names a checkout to take chart and programs from.
	treeVariable = "ABUSE_TREE"

	pollEvery    = 50 * time.Millisecond
	becomesReady = 30 * time.Second
)

// abusedProduct is what is attacked: all of it, and the neighbour.
type abusedProduct struct {
	stack     *stack.Stack
	manager   *stack.Manager
	gateway   *stack.Gateway
	neighbour *neighbour
	watched   []*watchedProcess
	groups    *cgroups // nil: there are none

	gatewayArgs []string
	secured     *secured // nil: the gateway serves without TLS
	mu          sync.Mutex
	limits      map[string]int64 // by process
}

// productOptions say what is attacked.
type productOptions struct {
	// values are the chart's; namespaces are made before anything starts.
	values                   map[string]any
	namespaces               []string
	managerArgs, gatewayArgs []string
	// withoutPolicies deletes what admission policies the chart has installed.
	withoutPolicies bool
	// tls makes the gateway serve over TLS.
	tls bool
	say func(format string, args ...any)
}

// startProduct starts everything. The caller calls stop.
func startProduct(ctx context.Context, o productOptions) (*abusedProduct, error) {
	p := &abusedProduct{limits: map[string]int64{}, gatewayArgs: o.gatewayArgs}
	if err := p.start(ctx, o); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return p, nil
}

func (p *abusedProduct) start(ctx context.Context, o productOptions) (err error) {
	if p.groups, err = newCgroups(); err != nil {
		if os.Getenv("CI") == "true" {
			return fmt.Errorf("no cgroup can be made to hold processes in their memory limits: %w", err)
		}
		o.say("!!! NO CGROUPS: processes are only compared with their memory limits, not held in them: %v", err)
		p.groups = nil
	}
	spaces, err := writeProductNamespaces(append([]string{neighbourSpace}, o.namespaces...))
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(spaces) }()
	p.stack, err = stack.Start(ctx, stack.Options{
		Tree: os.Getenv(treeVariable), Values: o.values, Confine: p.confine,
		ControlPlane: controlplane.Options{UnsafeNoFsync: true, Manifests: []string{spaces}},
		Progress:     func(text string) { o.say("%s", text) },
	})
	if err != nil {
		return err
	}
	if o.withoutPolicies {
		if err := p.dropPolicies(ctx); err != nil {
			return err
		}
	}
	if p.manager, err = p.stack.StartManager(ctx, stack.ManagerOptions{Supervise: true, Alone: true, Args: o.managerArgs}); err != nil {
		return err
	}
	gateway := stack.GatewayOptions{Supervise: true, Args: o.gatewayArgs}
	if o.tls {
		if p.secured, err = newSecured(p.stack.Dir); err != nil {
			return err
		}
		gateway.TLS = p.secured.gateway
	}
	if p.gateway, err = p.stack.StartGateway(ctx, gateway); err != nil {
		return err
	}
	p.watch()
	return p.startNeighbour(ctx)
}

// confine holds a process in its limit: in a group of its own, or by telling Go's
// collector of it where there are no groups.
func (p *abusedProduct) confine(process string, limit int64, command *exec.Cmd) error {
	p.mu.Lock()
	p.limits[process] = limit
	p.mu.Unlock()
	if limit == 0 {
		return fmt.Errorf("the chart gives %s no memory limit", process)
	}
	if p.groups == nil {
		command.Env = append(command.Environ(), fmt.Sprintf("GOMEMLIMIT=%d", int64(float64(limit)*confinedShare)))
		return nil
	}
	return p.groups.confine(process, limit, command)
}

// watch makes a list of the processes, by what users call them.
func (p *abusedProduct) watch() {
	limitOf := func(like, notLike string) int64 {
		p.mu.Lock()
		defer p.mu.Unlock()
		for process, limit := range p.limits {
			if strings.HasPrefix(process, like) && strings.HasSuffix(process, "-dispatcher") == (notLike == "") {
				return limit
			}
		}
		return 0
	}
	p.watched = []*watchedProcess{
		{name: "gateway", limit: limitOf("gateway", "dispatcher"), process: func() *childprocess.Process { return p.gateway.Process }},
		{name: "its dispatcher", limit: limitOf("gateway", ""), process: func() *childprocess.Process { return p.gateway.Dispatcher() }},
		{name: "manager", limit: limitOf("manager", "dispatcher"), process: func() *childprocess.Process { return p.manager.Process }},
		{name: "its dispatcher", limit: limitOf("manager", ""), process: func() *childprocess.Process { return p.manager.Dispatcher() }},
	}
}

// startNeighbour lets the neighbour declare its webhook and publish its first events.
func (p *abusedProduct) startNeighbour(ctx context.Context) (err error) {
	if p.neighbour, err = newNeighbour(p.secured.roots()); err != nil {
		return err
	}
	p.neighbour.gateway = func() string { return p.gateway.URL }
	if p.neighbour.token, err = p.stack.Token(ctx, neighbourSpace, "publisher", []string{"bbmcp-publisher"}); err != nil {
		return err
	}
	hook := newProductWebhook(neighbourSpace, "healthy", p.neighbour.endpoint.URL("/healthy"))
	if err := p.declare(ctx, hook); err != nil {
		return err
	}
	// From here on the gateway knows the webhook and what it may be sent.
	return p.poll(ctx, "the neighbour's first events", func() (bool, error) {
		found := p.neighbour.publish(ctx, time.Second)
		if found.refused > 0 || found.lost > 0 {
			return false, fmt.Errorf("%d lost, %d refused: %s", found.lost, found.refused, found.firstRefusal)
		}
		return true, nil
	})
}

func newProductWebhook(namespace, name, url string) *v1alpha1.Webhook {
	return &v1alpha1.Webhook{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name},
		Spec:       v1alpha1.WebhookSpec{URL: url, Events: []string{"*"}},
	}
}

// writeProductNamespaces writes a manifest of namespaces: the chart's Roles may be in them.
func writeProductNamespaces(names []string) (file string, err error) {
	f, err := os.CreateTemp("", "bbmcp-*.yaml")
	if err != nil {
		return "", err
	}
	for _, name := range names {
		if _, err := fmt.Fprintf(f, "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: %s}\n", name); err != nil {
			return "", errors.Join(err, f.Close())
		}
	}
	return f.Name(), f.Close()
}

// dropPolicies deletes all admission policies and their bindings.
func (p *abusedProduct) dropPolicies(ctx context.Context) error {
	return errors.Join(
		p.stack.Client.DeleteAllOf(ctx, &admissionregistrationv1.ValidatingAdmissionPolicyBinding{}),
		p.stack.Client.DeleteAllOf(ctx, &admissionregistrationv1.ValidatingAdmissionPolicy{}),
	)
}

// declare makes webhooks and waits until they are Ready.
func (p *abusedProduct) declare(ctx context.Context, hooks ...*v1alpha1.Webhook) error {
	err := inParallel(8, len(hooks), func(i int) error { return p.stack.Client.Create(ctx, hooks[i]) })
	if err != nil {
		return fmt.Errorf("declare a webhook: %w", err)
	}
	for _, hook := range hooks {
		err := p.poll(ctx, "webhook "+hook.Name+" to be Ready", func() (bool, error) {
			err := p.stack.Client.Get(ctx, client.ObjectKeyFromObject(hook), hook)
			return meta.IsStatusConditionTrue(hook.Status.Conditions, v1alpha1.ConditionReady), err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// settle waits until the processes have little to do, at most a while.
func (p *abusedProduct) settle(ctx context.Context) {
	const idle, look, most = 0.15, 250 * time.Millisecond, 40
	for range most {
		before := p.cpu()
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return
		}
		if (p.cpu()-before).Seconds()/look.Seconds() < idle {
			return
		}
	}
}

// notice lets the neighbour publish for so many windows, and until the attack is
// finished, and says what it noticed. attacker is the process id of who attacks
// meanwhile; 0: nobody does.
func (p *abusedProduct) notice(ctx context.Context, windows int, window time.Duration, attacker int, finished func() bool) neighbourNotice {
	var all []neighbourNotice
	for calmOnes := 0; calmOnes < windows && len(all) < 2*windows || !finished(); {
		before, began := p.others(attacker), time.Now()
		one := p.neighbour.publish(ctx, window)
		one.others = (p.others(attacker) - before).Seconds() / time.Since(began).Seconds()
		if one.others < calm {
			calmOnes++
		}
		all = append(all, one)
	}
	return sumNotices(all, windows)
}

// others is the CPU time that everybody else took who is not part of the test.
func (p *abusedProduct) others(attacker int) time.Duration {
	busy, err := procstat.BusyCPU()
	if err != nil {
		return 0
	}
	plane := p.stack.ControlPlane.PIDs()
	for _, pid := range []int{plane.APIServer, plane.Etcd, plane.ControllerManager, os.Getpid(), attacker} {
		if took, err := procstat.CPU(pid); err == nil {
			busy -= took
		}
	}
	return busy - p.cpu()
}

// planeCPU is what API server and etcd took.
func (p *abusedProduct) planeCPU() (all time.Duration) {
	plane := p.stack.ControlPlane.PIDs()
	for _, pid := range []int{plane.APIServer, plane.Etcd} {
		took, _ := procstat.CPU(pid) // they do not end before us
		all += took
	}
	return all
}

func (p *abusedProduct) cpu() (all time.Duration) {
	for _, w := range p.watched {
		took, _ := procstat.CPU(w.process().PID()) // one that has ended takes none
		all += took
	}
	return all
}

// revive starts again what an attack has ended, for the cases after it.
func (p *abusedProduct) revive(ctx context.Context) error {
	if !p.gateway.Process.Running() {
		if err := p.gateway.Restart(ctx); err != nil {
			return err
		}
	}
	if !p.manager.Process.Running() {
		return p.manager.Restart(ctx)
	}
	return nil
}

func (p *abusedProduct) poll(ctx context.Context, what string, done func() (bool, error)) error {
	var last error
	err := wait.PollUntilContextTimeout(ctx, pollEvery, becomesReady, true, func(context.Context) (ok bool, _ error) {
		ok, last = done()
		return ok && last == nil, nil
	})
	if err != nil {
		return errors.Join(fmt.Errorf("wait for %s: %w", what, err), last)
	}
	return nil
}

// stop ends everything and keeps the logs if somebody wants them.
func (p *abusedProduct) stop() error {
	if p.gateway != nil {
		p.gateway.Kill()
	}
	if p.manager != nil {
		p.manager.Kill()
	}
	if p.neighbour != nil {
		p.neighbour.endpoint.Close()
		p.neighbour.client.CloseIdleConnections()
	}
	var errs []error
	if p.stack != nil {
		errs = append(errs, p.stack.KeepLogs(os.Getenv("ABUSE_LOGS")), p.stack.Stop())
	}
	if p.groups != nil {
		errs = append(errs, p.groups.close())
	}
	return errors.Join(errs...)
}

// inParallel calls do for 0 … n-1, so many at a time, and returns the first error.
func inParallel(width, n int, do func(int) error) error {
	group, failed := errgroup.WithContext(context.Background())
	group.SetLimit(width)
	for i := 0; i < n && failed.Err() == nil; i++ {
		group.Go(func() error { return do(i) })
	}
	return group.Wait()
}
