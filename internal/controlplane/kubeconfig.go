// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"fmt"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// AdminConfig is a client configuration of a cluster administrator (group system:masters, which RBAC does not restrain),
// without client-side rate limit. The caller owns the copy.
func (c *ControlPlane) AdminConfig() *rest.Config { return rest.CopyConfig(c.admin) }

// Kubeconfig is the path of a kubeconfig with the rights of [ControlPlane.AdminConfig]. It goes with the folder.
func (c *ControlPlane) Kubeconfig() string { return c.files.adminKubeconfig }

// UserConfig is a client configuration of a user that the cluster's authority vouches for, with its groups as RBAC sees them:
// "system:node:node1" in "system:nodes", say.
func (c *ControlPlane) UserConfig(user string, groups ...string) (*rest.Config, error) {
	pair, err := c.ca.client(user, groups...)
	if err != nil {
		return nil, err
	}
	return certificateConfig(c.APIServerURL(), c.ca, pair), nil
}

// ServiceAccountConfig is a client configuration with the rights of a ServiceAccount, which must exist, without client-side
// rate limit. Its token is for the API server's own audience and lasts ttl; the API server refuses less than ten minutes.
func (c *ControlPlane) ServiceAccountConfig(ctx context.Context, namespace, name string, ttl time.Duration) (*rest.Config, error) {
	client, err := kubernetes.NewForConfig(c.admin)
	if err != nil {
		return nil, fmt.Errorf("token of ServiceAccount %s/%s: %w", namespace, name, err)
	}
	request := &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: new(int64(ttl / time.Second))},
	}
	answer, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("token of ServiceAccount %s/%s: %w", namespace, name, err)
	}
	cfg := rest.AnonymousClientConfig(c.admin)
	cfg.BearerToken = answer.Status.Token
	return cfg, nil
}

// WriteKubeconfig writes a kubeconfig that kubectl and every other client understands, readable by its owner alone. It
// carries the server, its CA and the client certificate or token of cfg, and nothing else of it.
func WriteKubeconfig(path string, cfg *rest.Config) error {
	const name = "controlplane"
	out := clientcmdapi.NewConfig()
	out.Clusters[name] = &clientcmdapi.Cluster{
		Server:                   cfg.Host,
		CertificateAuthority:     cfg.CAFile,
		CertificateAuthorityData: cfg.CAData,
		InsecureSkipTLSVerify:    cfg.Insecure,
		TLSServerName:            cfg.ServerName,
	}
	out.AuthInfos[name] = &clientcmdapi.AuthInfo{
		Token:                 cfg.BearerToken,
		TokenFile:             cfg.BearerTokenFile,
		ClientCertificate:     cfg.CertFile,
		ClientCertificateData: cfg.CertData,
		ClientKey:             cfg.KeyFile,
		ClientKeyData:         cfg.KeyData,
	}
	out.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name}
	out.CurrentContext = name
	if err := clientcmd.WriteToFile(*out, path); err != nil {
		return fmt.Errorf("write kubeconfig: %w", err)
	}
	return nil
}

// certificateConfig is a client configuration that authenticates with a client certificate.
func certificateConfig(url string, ca *authority, pair keyPair) *rest.Config {
	return &rest.Config{
		Host:            url,
		QPS:             -1,
		TLSClientConfig: rest.TLSClientConfig{CAData: ca.cert, CertData: pair.cert, KeyData: pair.key},
	}
}
