// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"os"
	"path/filepath"
	"time"
)

// prepare makes everything the processes need before the first of them starts: folder, ports, keys, kubeconfigs.
func (c *ControlPlane) prepare(now time.Time) error {
	if err := c.prepareFolder(); err != nil {
		return err
	}
	for _, port := range []*int{&c.ports.etcd, &c.ports.peer, &c.ports.api, &c.ports.manager} {
		want := 0
		if port == &c.ports.api {
			want = c.options.Port
		}
		got, release, err := reservePort(want)
		if err != nil {
			return err
		}
		*port = got
		c.release = append(c.release, release)
	}
	if err := c.prepareEtcdPKI(now); err != nil {
		return err
	}
	return c.prepareClusterPKI(now)
}

// prepareFolder makes the folder and locks it, so that two control planes never share one.
func (c *ControlPlane) prepareFolder() error {
	dir := c.options.Dir
	if dir == "" {
		tmp, err := os.MkdirTemp("", "controlplane-")
		if err != nil {
			return err
		}
		dir, c.temporary = tmp, true
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	c.files.dir = dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	unlock, err := tryLock(filepath.Join(dir, "lock"))
	if err != nil {
		return err
	}
	c.release = append(c.release, unlock)
	return nil
}

// prepareEtcdPKI gives etcd and its client an authority of their own, as real clusters do: a client certificate of the API server
// must not open the database.
func (c *ControlPlane) prepareEtcdPKI(now time.Time) error {
	ca, err := newAuthority("etcd-ca", now)
	if err != nil {
		return err
	}
	if c.files.etcdCA, _, err = ca.write(c.files.dir, "etcd-ca"); err != nil {
		return err
	}
	server, err := ca.server("etcd")
	if err != nil {
		return err
	}
	if c.files.etcdCert, c.files.etcdKey, err = server.write(c.files.dir, "etcd"); err != nil {
		return err
	}
	client, err := ca.client("kube-apiserver")
	if err != nil {
		return err
	}
	if c.files.etcdClientCert, c.files.etcdClientKey, err = client.write(c.files.dir, "etcd-client"); err != nil {
		return err
	}
	c.etcdProbe, err = newComponentProbe(componentURL(c.ports.etcd)+"/health", ca, client)
	return err
}

// prepareClusterPKI makes what the API server and its clients show each other. CA and token key outlive a stop if the folder does.
func (c *ControlPlane) prepareClusterPKI(now time.Time) error {
	dir := c.files.dir
	ca, err := loadAuthority(dir, "ca", now)
	if err != nil {
		return err
	}
	c.ca, c.files.clusterCA = ca, filepath.Join(dir, "ca.crt")
	c.files.tokenKey = filepath.Join(dir, "serviceaccount.key")
	if err := issueServiceAccountKey(c.files.tokenKey); err != nil {
		return err
	}
	serving, err := ca.serverAt(c.options.Addresses, "kube-apiserver", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local")
	if err != nil {
		return err
	}
	if c.files.servingCert, c.files.servingKey, err = serving.write(dir, "serving"); err != nil {
		return err
	}
	manager, err := ca.client("system:kube-controller-manager")
	if err != nil {
		return err
	}
	c.files.managerKubeconfig = filepath.Join(dir, controllerManagerBinary+".kubeconfig")
	if err := WriteKubeconfig(c.files.managerKubeconfig, certificateConfig(c.APIServerURL(), ca, manager)); err != nil {
		return err
	}
	admin, err := ca.client("kubernetes-admin", "system:masters")
	if err != nil {
		return err
	}
	c.admin = certificateConfig(c.APIServerURL(), ca, admin)
	c.files.adminKubeconfig = filepath.Join(dir, "admin.kubeconfig")
	if err := WriteKubeconfig(c.files.adminKubeconfig, c.admin); err != nil {
		return err
	}
	if c.apiProbe, err = newComponentProbe(c.APIServerURL()+"/readyz", ca, admin); err != nil {
		return err
	}
	// Two steps of the API server wait for a second before they begin and have nothing to do with an administrator.
	early := c.APIServerURL() + "/readyz?exclude=poststarthook/rbac/bootstrap-roles" +
		"&exclude=poststarthook/scheduling/bootstrap-system-priority-classes"
	if c.apiEarlyProbe, err = newComponentProbe(early, ca, admin); err != nil {
		return err
	}
	c.managerProbe, err = newComponentProbe(componentURL(c.ports.manager)+"/healthz", ca, admin)
	return err
}
