// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/internal/childprocess"
	"bbmcp.quietstack.com/webhooks/internal/controlplane"
	"bbmcp.quietstack.com/webhooks/test/imagearchive"
)

// startTimeout bounds a start, the control plane's aside.
const startTimeout = 2 * time.Minute

// Options say what the node is made of.
type Options struct {
	// Dir takes everything that the cluster writes. It must not be there yet.
	Dir string
	// Programs is the folder that hack/build-node prints.
	Programs string
	// Pause is a static program that waits, the first in every Pod.
	Pause string
	// Mirrors maps the names of registries to the URLs where the node finds what they have.
	Mirrors map[string]string
	// Progress is told what is being done.
	Progress func(string)
}

// NodeCluster is a running cluster.
type NodeCluster struct {
	// ControlPlane is what the node belongs to.
	ControlPlane *controlplane.ControlPlane

	options Options
	dir     string
	running []*childprocess.Process
}

// Start starts a cluster and returns when its node is Ready. The caller calls
// Stop, whatever is returned.
func Start(ctx context.Context, options Options) (*NodeCluster, error) {
	c := &NodeCluster{options: options, dir: options.Dir}
	if err := c.configure(); err != nil {
		return c, err
	}
	if err := c.setUpNetwork(ctx); err != nil {
		return c, err
	}
	var err error
	c.ControlPlane, err = controlplane.Start(ctx, controlplane.Options{
		Dir: filepath.Join(c.dir, "controlplane"), Progress: options.Progress,
		Addresses: []net.IP{net.ParseIP(nodeAddress), net.ParseIP(serviceAddress)},
		// Lists add to those of the control plane: Node beside RBAC, all controllers.
		APIServerArgs: []string{
			"--bind-address=0.0.0.0", "--advertise-address=" + nodeAddress, "--service-cluster-ip-range=" + serviceRange,
			"--authorization-mode=Node", "--enable-admission-plugins=NodeRestriction", "--kubelet-preferred-address-types=InternalIP",
		},
		ControllerManagerArgs: []string{"--controllers=*"},
	})
	if err != nil {
		return c, err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := c.startRuntime(ctx); err != nil {
		return c, err
	}
	if err := c.startNode(ctx); err != nil {
		return c, err
	}
	return c, nil
}

// Stop ends what Start started, newest first. Containers end with the PID
// namespace.
func (c *NodeCluster) Stop() error {
	for _, process := range slices.Backward(c.running) {
		process.Stop(0)
	}
	if c.ControlPlane == nil {
		return nil
	}
	return c.ControlPlane.Stop()
}

// Logs are the files that the cluster's own programs and all containers wrote.
func (c *NodeCluster) Logs() ([]string, error) {
	var all []string
	for _, pattern := range []string{"log/*.log", "controlplane/*.log", "log/pods/*/*/*.log"} {
		some, err := filepath.Glob(filepath.Join(c.dir, pattern))
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// LoadProgram makes an image of a static program and loads it.
func (c *NodeCluster) LoadProgram(ctx context.Context, name, program string) error {
	content, err := os.ReadFile(program)
	if err != nil {
		return fmt.Errorf("pack %s: %w", name, err)
	}
	archive, base := filepath.Join(c.dir, "image.tar"), filepath.Base(program)
	err = imagearchive.WriteImage(archive, name, runtime.GOARCH, "/"+base, imagearchive.File{Name: base, Mode: 0o755, Content: content})
	if err != nil {
		return err
	}
	return c.LoadImage(ctx, archive)
}

// LoadImage loads an archive of an image, as nodes have it after a pull.
func (c *NodeCluster) LoadImage(ctx context.Context, archive string) error {
	_, err := c.ctr(ctx, "images", "import", archive)
	return err
}

// Tasks maps the ids of running containers to the ids of their first processes.
func (c *NodeCluster) Tasks(ctx context.Context) (map[string]int, error) {
	out, err := c.ctr(ctx, "tasks", "list")
	if err != nil {
		return nil, err
	}
	tasks := map[string]int{}
	for line := range strings.Lines(out) {
		var id, status string
		var pid int
		if _, err := fmt.Sscan(line, &id, &pid, &status); err == nil && status == "RUNNING" {
			tasks[id] = pid
		}
	}
	return tasks, nil
}

func (c *NodeCluster) ctr(ctx context.Context, args ...string) (string, error) {
	return runNodeCommand(ctx, filepath.Join(c.options.Programs, "ctr"), append([]string{"--address=" + c.containerdSocket(), "--namespace=k8s.io"}, args...)...)
}

// setUpNetwork makes the node's own interface: a bridge, since not every kernel
// has dummy devices.
func (c *NodeCluster) setUpNetwork(ctx context.Context) error {
	for _, command := range []string{
		"ip link set lo up",
		"ip link add node0 type bridge",
		"ip addr add " + nodeAddress + "/24 dev node0",
		"ip link set node0 up",
		"ip route add default via " + nodeAddress + " dev node0",
		"sysctl -qw net.ipv4.ip_forward=1",
	} {
		words := strings.Fields(command)
		if _, err := runNodeCommand(ctx, words[0], words[1:]...); err != nil {
			return err
		}
	}
	return nil
}

func (c *NodeCluster) startRuntime(ctx context.Context) error {
	process, err := c.launch("containerd", "--config="+filepath.Join(c.dir, "containerd.toml"))
	if err != nil {
		return err
	}
	answers := func(ctx context.Context) error {
		_, err := c.ctr(ctx, "version")
		return err
	}
	if err := process.WaitFor(ctx, "containerd", answers); err != nil {
		return err
	}
	return c.LoadProgram(ctx, pauseImage, c.options.Pause)
}

// startNode starts scheduler, kubelet and kube-proxy and waits for the node.
func (c *NodeCluster) startNode(ctx context.Context) error {
	users := map[string][]string{
		"kube-scheduler": {"system:kube-scheduler"},
		"kubelet":        {"system:node:" + nodeName, "system:nodes"},
		"kube-proxy":     {"system:kube-proxy"},
	}
	kubeconfig := func(program string) string { return filepath.Join(c.dir, program+".kubeconfig") }
	for program, user := range users {
		config, err := c.ControlPlane.UserConfig(user[0], user[1:]...)
		if err != nil {
			return err
		}
		if err := controlplane.WriteKubeconfig(kubeconfig(program), config); err != nil {
			return err
		}
	}
	admin, err := client.New(c.ControlPlane.AdminConfig(), client.Options{})
	if err != nil {
		return err
	}
	if err := admin.Create(ctx, &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "kube-proxy"},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "system:node-proxier"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "system:kube-proxy"}},
	}); err != nil {
		return err
	}
	if _, err := c.launch("kube-scheduler", "--kubeconfig="+kubeconfig("kube-scheduler"), "--leader-elect=false"); err != nil {
		return err
	}
	if _, err := c.launch("kube-proxy", "--kubeconfig="+kubeconfig("kube-proxy"), "--hostname-override="+nodeName,
		"--cluster-cidr="+podRange, "--proxy-mode=iptables", "--conntrack-max-per-core=0"); err != nil {
		return err
	}
	kubelet, err := c.launch("kubelet", "--config="+filepath.Join(c.dir, "kubelet.yaml"), "--kubeconfig="+kubeconfig("kubelet"),
		"--hostname-override="+nodeName, "--node-ip="+nodeAddress, "--root-dir="+filepath.Join(c.dir, "kubelet"))
	if err != nil {
		return err
	}
	return kubelet.WaitFor(ctx, "node", func(ctx context.Context) error { return checkNode(ctx, admin) })
}

func checkNode(ctx context.Context, admin client.Client) error {
	var node corev1.Node
	if err := admin.Get(ctx, client.ObjectKey{Name: nodeName}, &node); err != nil {
		return err
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status == corev1.ConditionTrue {
			return nil
		}
	}
	return errors.New("the node is not Ready")
}

// launch starts a program of the node; others of them are in its PATH.
func (c *NodeCluster) launch(name string, args ...string) (*childprocess.Process, error) {
	command := exec.Command(filepath.Join(c.options.Programs, name), args...)
	command.Env = append(os.Environ(), "PATH="+c.options.Programs+":"+os.Getenv("PATH"))
	process, err := childprocess.Start(name, filepath.Join(c.dir, "log", name+".log"), command)
	if err != nil {
		return nil, err
	}
	c.running = append(c.running, process)
	return process, nil
}

// runNodeCommand runs a program to its end and returns what it prints.
func runNodeCommand(ctx context.Context, program string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", filepath.Base(program), strings.Join(args, " "), err, out)
	}
	return string(out), nil
}
