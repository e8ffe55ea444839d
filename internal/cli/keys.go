// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	rbacv1client "k8s.io/client-go/kubernetes/typed/rbac/v1"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	// labelKey marks the objects of a key; its value is the key's name.
	labelKey = "bbmcp.quietstack.com/key"
	// labelLastUsed is set by the API server on the Secret of a token (KEP-2799).
	labelLastUsed = "kubernetes.io/legacy-token-last-used"
	// objectPrefix keeps a key's objects apart from ServiceAccounts that Pods use.
	objectPrefix = "bbmcp-key-"
	// rolePrefix is what the names of the roles of this product begin with.
	rolePrefix = "bbmcp-"
)

// roleNames are the ClusterRoles that a key can have, without their prefix.
func roleNames() []string {
	return []string{"viewer", "delivery-viewer", "editor", "publisher", "admin"}
}

const keysLong = `Make, list and revoke API keys. These commands talk to the Kubernetes API with
your kubeconfig, not to the REST API, and need rights on ServiceAccounts,
RoleBindings and Secrets of the namespace.

A key is a ServiceAccount bbmcp-key-NAME, a RoleBinding for each of its roles and
a Secret with its token. Nobody can give a key more than they may do themselves:
the API server refuses a RoleBinding to a role that its author does not hold.

  viewer           see webhooks
  delivery-viewer  see deliveries with their payloads
  editor           manage webhooks and their Secrets, retry deliveries
  publisher        publish events of every type
  admin            editor, and deliveries made by hand`

type keyAccess struct {
	kubeconfig, context string
}

// kubernetes is what these commands need of the Kubernetes API.
type kubernetes struct {
	namespace string
	core      corev1client.CoreV1Interface
	rbac      rbacv1client.RbacV1Interface
}

func (a *app) keys() *cobra.Command {
	access := &keyAccess{}
	command := group("keys", "Make, list and revoke API keys, with a kubeconfig", []string{"key"},
		a.keysCreate(access), a.keysList(access), a.keysRevoke(access))
	command.Long = keysLong
	command.PersistentFlags().StringVar(&access.kubeconfig, "kubeconfig", "", "kubeconfig `file` (default: $KUBECONFIG, ~/.kube/config, or the Pod's ServiceAccount)")
	command.PersistentFlags().StringVar(&access.context, "context", "", "`name` of the kubeconfig's context (default: the current one)")
	return command
}

func (a *app) kubernetes(access *keyAccess) (*kubernetes, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = access.kubeconfig
	overrides := &clientcmd.ConfigOverrides{CurrentContext: access.context}
	overrides.Context.Namespace = a.namespace
	loader := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)
	namespace, _, err := loader.Namespace()
	if err != nil {
		return nil, usageError{"kubeconfig: " + err.Error()}
	}
	config, err := loader.ClientConfig()
	if err != nil {
		return nil, usageError{"kubeconfig: " + err.Error()}
	}
	config.Timeout = a.timeout
	core, err := corev1client.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	rbac, err := rbacv1client.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig: %w", err)
	}
	return &kubernetes{namespace: namespace, core: core, rbac: rbac}, nil
}

const keysCreateLong = `Make a key and print its token on standard output.

The token is that of a Secret of type kubernetes.io/service-account-token, not of a
TokenRequest. It works until it is revoked: the API server caps how long a
requested token lasts (24 hours on some managed clusters, and nobody is told), so
a program that holds one outside of the cluster would one day be refused. Such a
token is also revoked by itself, by deleting its Secret, and Kubernetes notes there
when it was last used. The price is that it does not expire and that whoever may
read Secrets in the namespace can read it, so replace it now and then: create
another key, give it to the program, revoke the old one.

Programs in the cluster need no key: they mount a projected ServiceAccount token,
which Kubernetes renews, and set BBMCP_API_KEY_FILE to its path.`

func (a *app) keysCreate(access *keyAccess) *cobra.Command {
	var roles []string
	command := &cobra.Command{
		Use:   "create NAME --role ROLE",
		Short: "Make a key and print its token",
		Long:  keysCreateLong,
		Example: `  bbmcp keys create shop --namespace orders --role publisher > ~/.bbmcp-key
  bbmcp keys create console --role editor --role delivery-viewer -o json`,
		Args: cobra.ExactArgs(1),
		RunE: a.run(func(command *cobra.Command, args []string) error {
			for _, role := range roles {
				if !slices.Contains(roleNames(), role) {
					return usageError{fmt.Sprintf("--role: there is no role %q; want one of %s", role, strings.Join(roleNames(), ", "))}
				}
			}
			if err := checkKeyName(args[0]); err != nil {
				return err
			}
			k, err := a.kubernetes(access)
			if err != nil {
				return err
			}
			slices.Sort(roles)
			made, err := k.createKey(command.Context(), args[0], slices.Compact(roles))
			if err != nil {
				return err
			}
			if a.output == formatJSON || a.output == formatYAML {
				return a.printValue(made)
			}
			if _, err := fmt.Fprintln(a.Out, made.Token); err != nil {
				return err
			}
			a.note("made key %s in namespace %s with %s; revoke it with: bbmcp keys revoke %s -n %s",
				made.Name, made.Namespace, strings.Join(made.Roles, ", "), made.Name, made.Namespace)
			return nil
		}),
	}
	command.Flags().StringSliceVar(&roles, "role", nil, "what the key may do: "+strings.Join(roleNames(), ", ")+"; may be repeated")
	_ = command.MarkFlagRequired("role")
	register(command, "role", cobra.FixedCompletions(roleNames(), cobra.ShellCompDirectiveNoFileComp))
	return command
}

func (a *app) keysList(access *keyAccess) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List keys, without their tokens",
		Long: `List keys, without their tokens. Kubernetes notes the day on which a token was
last used; it is unknown if you may not list Secrets, and a key that was made
within the last day and used may still show none.`,
		Args: cobra.NoArgs,
		RunE: a.run(func(command *cobra.Command, _ []string) error {
			k, err := a.kubernetes(access)
			if err != nil {
				return err
			}
			keys, err := k.listKeys(command.Context())
			if err != nil {
				return err
			}
			return printList(a, keyView(), keys)
		}),
	}
}

func (a *app) keysRevoke(access *keyAccess) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke NAME...",
		Short: "Delete keys",
		Long: `Delete keys: their tokens, rights and ServiceAccounts. The API server refuses a
revoked token after 10 seconds, the REST API, which remembers for a minute whom it
knows, after 75 seconds at most.`,
		Args: cobra.MinimumNArgs(1),
		RunE: a.run(func(command *cobra.Command, args []string) error {
			k, err := a.kubernetes(access)
			if err != nil {
				return err
			}
			return a.forEach(args, func(name string) error {
				if err := k.revokeKey(command.Context(), name); err != nil {
					return err
				}
				_, err := fmt.Fprintf(a.Out, "%s revoked\n", name)
				return err
			})
		}),
	}
}
