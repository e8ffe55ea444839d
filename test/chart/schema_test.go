// SPDX-License-Identifier: Apache-2.0

package chart

import (
	"strings"
	"testing"
)

// Each is a mistake that a person makes; at is what the message names.
func TestMistakesInValuesAreRefused(t *testing.T) {
	for _, c := range []struct{ values, at string }{
		{"{replicaCount: 3}", "replicaCount"},
		{"{managers: {replicas: 3}}", "managers"},
		{"{manager: {replica: 3}}", "replica"},
		{"{manager: {replicas: two}}", "replicas"},
		{"{manager: {replicas: -1}}", "replicas"},
		{"{manager: {replicas: 1.5}}", "replicas"},
		{"{manager: {flags: {unsetled: 256}}}", "unsetled"},
		{"{manager: {flags: {unsettled: many}}}", "unsettled"},
		{"{manager: {flags: {unsettled: '256'}}}", "unsettled"},
		{"{manager: {flags: {drain-grace: 40}}}", "drain-grace"},
		{"{manager: {flags: {drain-grace: 40 s}}}", "drain-grace"},
		{"{manager: {flags: {leader-elect: 'yes'}}}", "leader-elect"},
		{"{manager: {flags: {log-level: verbose}}}", "log-level"},
		{"{manager: {flags: {namespaces: [a]}}}", "namespaces"},
		{"{manager: {flags: {kubeconfig: /root/.kube/config}}}", "kubeconfig"},
		{"{manager: {flags: {backlog: 5}}}", "backlog"},
		{"{manager: {extraArgs: {a: b}}}", "extraArgs"},
		{"{manager: {extraArgs: [unsettled=5]}}", "extraArgs"},
		{"{manager: {env: {A: b}}}", "env"},
		{"{manager: {env: [{value: b}]}}", "env"},
		{"{manager: {env: [{name: A, val: b}]}}", "env"},
		{"{manager: {ports: {http: 80}}}", "ports"},
		{"{manager: {ports: {metrics: 443}}}", "metrics"},
		{"{manager: {ports: {metrics: ':8443'}}}", "metrics"},
		{"{manager: {resources: {limit: {memory: 1Gi}}}}", "limit"},
		{"{manager: {resources: {limits: {memory: 1GB}}}}", "memory"},
		{"{manager: {terminationGracePeriodSeconds: 60s}}", "terminationGracePeriodSeconds"},
		{"{manager: {serviceAccount: {name: My_Account}}}", "name"},
		{"{manager: {podDisruptionBudget: {maxUnavailable: half}}}", "maxUnavailable"},
		{"{manager: {topologySpread: {zone: Sometimes}}}", "zone"},
		{"{manager: {nodeSelector: {disk: 1}}}", "nodeSelector"},
		{"{manager: {tolerations: [key]}}", "tolerations"},
		{"{gateway: {flags: {unsettled: 5}}}", "unsettled"},
		{"{gateway: {flags: {address: ':80'}}}", "address"},
		{"{gateway: {service: {type: ExternalName}}}", "type"},
		{"{gateway: {service: {port: 70000}}}", "port"},
		{"{gateway: {autoscaling: {minReplicas: 0}}}", "minReplicas"},
		{"{gateway: {autoscaling: {targetCPU: 50}}}", "targetCPU"},
		{"{gateway: {ingress: {enabled: true}}}", "hosts"},
		{"{gateway: {ingress: {enabled: true, hosts: [https://hooks.example.com]}}}", "hosts"},
		{"{gateway: {ingress: {host: hooks.example.com}}}", "host"},
		{"{gateway: {httpRoute: {enabled: true}}}", "parentRefs"},
		{"{gateway: {tls: {secret: a}}}", "secret"},
		{"{dispatcher: {replicas: 2}}", "replicas"},
		{"{dispatcher: {flags: {allow-cidr: 10.0.0.0/8}}}", "allow-cidr"},
		{"{dispatcher: {flags: {allow-cidr: [internal.example.com]}}}", "allow-cidr"},
		{"{dispatcher: {flags: {allow-http: 'on'}}}", "allow-http"},
		{"{dispatcher: {caBundle: {configMapName: a, secretName: b}}}", "caBundle"},
		{"{image: {tag: latest}}", "tag"},
		{"{image: {tag: 1.0}}", "tag"},
		{"{image: {digest: sha256:abc}}", "digest"},
		{"{image: {pullPolicy: Sometimes}}", "pullPolicy"},
		{"{image: {pullSecrets: [registry]}}", "pullSecrets"},
		{"{image: bbmcp-webhooks}", "image"},
		{"{namespaces: team-a}", "namespaces"},
		{"{namespaces: [team-a, team-a]}", "namespaces"},
		{"{namespaces: [Team-A]}", "namespaces"},
		{"{crds: {enabled: true}}", "enabled"},
		{"{crds: {keep: 'true'}}", "keep"},
		{"{crds: false}", "crds"},
		{"{rbac: {userRole: false}}", "userRole"},
		{"{policies: {enabled: false}}", "enabled"},
		{"{policies: {trusted: [velero]}}", "trusted"},
		{"{policies: {trusted: [{kind: ServiceAccount, name: velero}]}}", "namespace"},
		{"{policies: {trusted: [{kind: Group, name: admins, namespace: a}]}}", "trusted"},
		{"{networkPolicy: {except: [10.0.0.0]}}", "except"},
		{"{networkPolicy: {apiServerPorts: []}}", "apiServerPorts"},
		{"{networkPolicy: {apiServerPorts: [https]}}", "apiServerPorts"},
		{"{monitoring: {interval: 30}}", "interval"},
		{"{monitoring: {podMonitor: true}}", "podMonitor"},
		{"{tracing: {endpoint: 'collector:4317'}}", "endpoint"},
		{"{tracing: {protocol: http}}", "protocol"},
		{"{tracing: {sampler: often}}", "sampler"},
		{"{tracing: {samplerArg: 0.5}}", "samplerArg"},
		{"{admission: {allowedHosts: [https://example.com]}}", "allowedHosts"},
		{"{admission: {allowedHosts: ['*']}}", "allowedHosts"},
		{"{admission: {allowedHosts: [Example.COM]}}", "allowedHosts"},
		{"{admission: {httpsonly: true}}", "httpsonly"},
		{"{commonLabels: {a: 1}}", "commonLabels"},
		{"{fullnameOverride: BBMCP}", "fullnameOverride"},
	} {
		t.Run(c.values, func(t *testing.T) {
			_, err := Render(t.Context(), root, parse(t, c.values), Release{})
			if err == nil {
				t.Fatal("nobody complains")
			}
			if !strings.Contains(err.Error(), c.at) || !strings.Contains(err.Error(), "schema") {
				t.Errorf("the message does not name %s: %v", c.at, err)
			}
		})
	}
}
