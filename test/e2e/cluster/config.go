// SPDX-License-Identifier: Apache-2.0

package cluster

import (
	"fmt"
	"os"
	"path/filepath"
)

// Addresses of the cluster. They are seen in its network namespace only.
const (
	nodeAddress    = "10.200.0.1"
	serviceRange   = "10.96.0.0/16"
	serviceAddress = "10.96.0.1" // of the Service kubernetes
	podRange       = "10.244.0.0/24"

	nodeName   = "node1"
	pauseImage = "local/pause:1"
)

// configure writes the configuration of containerd, CNI and kubelet.
func (c *NodeCluster) configure() error {
	files := map[string]string{
		"containerd.toml":        c.containerdConfig(),
		"kubelet.yaml":           c.kubeletConfig(),
		"cni/10-bridge.conflist": c.networkConfig(),
	}
	for registry, url := range c.options.Mirrors {
		files["mirrors/"+registry+"/hosts.toml"] = fmt.Sprintf("server = %[1]q\n[host.%[1]q]\n  capabilities = [\"pull\", \"resolve\"]\n", url)
	}
	for _, folder := range []string{"log/pods", "containerd"} {
		if err := os.MkdirAll(filepath.Join(c.dir, folder), 0o755); err != nil {
			return err
		}
	}
	for name, content := range files {
		file := filepath.Join(c.dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			return err
		}
	}
	return nil
}

func (c *NodeCluster) containerdSocket() string { return filepath.Join(c.dir, "containerd.sock") }

// containerdConfig: scores below zero are refused in some virtual machines,
// hence restrict_oom_score_adj.
func (c *NodeCluster) containerdConfig() string {
	return fmt.Sprintf(`version = 3
root = %[1]q
state = %[2]q
[grpc]
  address = %[3]q
[plugins.'io.containerd.cri.v1.images'.pinned_images]
  sandbox = %[4]q
[plugins.'io.containerd.cri.v1.images'.registry]
  config_path = %[6]q
[plugins.'io.containerd.cri.v1.runtime']
  restrict_oom_score_adj = true
[plugins.'io.containerd.cri.v1.runtime'.cni]
  bin_dirs = ["/usr/lib/cni", "/opt/cni/bin"]
  conf_dir = %[5]q
[plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
  [plugins.'io.containerd.cri.v1.runtime'.containerd.runtimes.runc.options]
    SystemdCgroup = false
`, filepath.Join(c.dir, "containerd/root"), filepath.Join(c.dir, "containerd/state"), c.containerdSocket(), pauseImage, filepath.Join(c.dir, "cni"),
		filepath.Join(c.dir, "mirrors"))
}

// kubeletConfig leaves the machine's resources alone: no cgroups for classes of
// Pods (containerd has its containers below its own, k8s.io), and no eviction
// over a disk that others fill.
func (c *NodeCluster) kubeletConfig() string {
	return fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://%s
cgroupDriver: cgroupfs
cgroupsPerQOS: false
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
authentication: {anonymous: {enabled: true}, webhook: {enabled: false}}
authorization: {mode: AlwaysAllow}
resolvConf: ""
podLogsDir: %s
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 50Mi, nodefs.available: 0%%, imagefs.available: 0%%, nodefs.inodesFree: 0%%}
`, c.containerdSocket(), filepath.Join(c.dir, "log/pods"))
}

func (c *NodeCluster) networkConfig() string {
	return fmt.Sprintf(`{"cniVersion":"1.0.0","name":"pods","plugins":[
 {"type":"bridge","bridge":"cni0","isGateway":true,"ipMasq":false,"hairpinMode":true,
  "ipam":{"type":"host-local","ranges":[[{"subnet":%q}]],"routes":[{"dst":"0.0.0.0/0"}]}}]}
`, podRange)
}
