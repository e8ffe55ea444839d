// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/validation"
)

const (
	// labelKey marks the objects of a key; its value is the key's name.
	labelKey = "bbmcp.quietstack.com/key"
	// labelLastUsed is set by the API server on the Secret of a token (KEP-2799).
	labelLastUsed = "kubernetes.io/legacy-token-last-used"
	// objectPrefix keeps a key's objects apart from ServiceAccounts that Pods use.
	objectPrefix = "bbmcp-key-"
	// publishingAudience is that of tokens which are good for publishing and reading only.
	publishingAudience = "bbmcp"
	// rolePrefix is what the names of the roles of this product begin with.
	rolePrefix = "bbmcp-"
)

// keyRoleNames are the ClusterRoles that a key can have, without their prefix.
func keyRoleNames() []string {
	return []string{"viewer", "delivery-viewer", "editor", "publisher", "admin"}
}

const keysLong = `Make, list and revoke API keys. These commands talk to the Kubernetes API with
your kubeconfig, not to the REST API, and need rights on ServiceAccounts and
RoleBindings of the namespace.

A key is a ServiceAccount bbmcp-key-NAME and a RoleBinding for each of its roles;
its tokens are what programs send. Nobody can give a key more than they may do
themselves: the API server refuses a RoleBinding to a role that its author does
not hold.

  viewer           see webhooks
  delivery-viewer  see deliveries with their payloads
  editor           manage webhooks and their Secrets, retry deliveries
  publisher        publish events of every type
  admin            editor, and deliveries made by hand`

type keyAccess struct {
	kubeconfig, context string
}

func (a *app) newKeysCommand() *cobra.Command {
	access := &keyAccess{}
	command := newCommandGroup("keys", "Make, renew, list and revoke API keys, with a kubeconfig", []string{"key"},
		a.newKeysCreateCommand(access), a.newKeysTokenCommand(access), a.newKeysListCommand(access), a.newKeysRevokeCommand(access))
	command.Long = keysLong
	command.PersistentFlags().StringVar(&access.kubeconfig, "kubeconfig", "", "kubeconfig `file` (default: $KUBECONFIG, ~/.kube/config, or the Pod's ServiceAccount)")
	command.PersistentFlags().StringVar(&access.context, "context", "", "`name` of the kubeconfig's context (default: the current one)")
	return command
}

const keysCreateLong = `Make a key and print a token of it on standard output.

The token ends by itself, after a day if --duration does not say otherwise. The
API server may give less than is asked for (at most 24 hours on some managed
clusters); when it ends is noted on standard error. "bbmcp keys token" takes the
next one.

--audience bbmcp makes one that is good for publishing and reading here and worth
nothing at the API server: for programs that do not manage webhooks, above all where
the way to the gateway is not encrypted.

--long-lived makes one that works until it is revoked, for a program outside of
the cluster that nothing can hand a new one to. It is kept in a Secret of type
kubernetes.io/service-account-token, where Kubernetes notes when it was last used,
and whoever may read Secrets in the namespace can read it: replace it now and then.

Whoever may read Secrets or take tokens of ServiceAccounts in the namespace can
act as the key, with all of its roles. Those that RoleBindings of the namespace
name are noted; give keys with more rights a namespace of their own.

Programs in the cluster need no key: they mount a projected ServiceAccount token,
which Kubernetes renews, and set BBMCP_API_KEY_FILE to its path.`

func (a *app) newKeysCreateCommand(access *keyAccess) *cobra.Command {
	var roles []string
	life := keyLifetime{duration: defaultLifetime}
	command := &cobra.Command{
		Use:   "create NAME --role ROLE",
		Short: "Make a key and print its token",
		Long:  keysCreateLong,
		Example: `  bbmcp keys create shop --namespace orders --role publisher > ~/.bbmcp-key
  bbmcp keys create partner --role publisher --long-lived
  bbmcp keys create console --role editor --role delivery-viewer -o json`,
		Args: cobra.ExactArgs(1),
		RunE: a.runGuarded(func(command *cobra.Command, args []string) error {
			for _, role := range roles {
				if !slices.Contains(keyRoleNames(), role) {
					return usageError{fmt.Sprintf("--role: there is no role %q; want one of %s", role, strings.Join(keyRoleNames(), ", "))}
				}
			}
			if err := errors.Join(checkKeyName(args[0]), life.check()); err != nil {
				return err
			}
			k, err := a.connectToKubernetes(access)
			if err != nil {
				return err
			}
			slices.Sort(roles)
			key, err := k.createKey(command.Context(), args[0], slices.Compact(roles), life)
			if err != nil {
				return err
			}
			if err := a.printKey(key, life); err != nil {
				return err
			}
			a.printNote("made key %s in namespace %s with %s; revoke it with: bbmcp keys revoke %s -n %s",
				key.Name, key.Namespace, strings.Join(key.Roles, ", "), key.Name, key.Namespace)
			a.noteImpersonators(command.Context(), k, key)
			return nil
		}),
	}
	command.Flags().StringSliceVar(&roles, "role", nil, "what the key may do: "+strings.Join(keyRoleNames(), ", ")+"; may be repeated")
	_ = command.MarkFlagRequired("role")
	registerCompletion(command, "role", cobra.FixedCompletions(keyRoleNames(), cobra.ShellCompDirectiveNoFileComp))
	life.addFlags(command)
	command.Flags().BoolVar(&life.long, "long-lived", false, "make a token that works until it is revoked, and keep it in a Secret")
	command.MarkFlagsMutuallyExclusive("duration", "long-lived")
	command.MarkFlagsMutuallyExclusive("audience", "long-lived") // Kubernetes gives those none
	return command
}

// printKey prints a token that was just made, and notes when it ends.
func (a *app) printKey(key *key, life keyLifetime) error {
	if a.output == formatJSON || a.output == formatYAML {
		return a.printValue(key)
	}
	if _, err := fmt.Fprintln(a.Out, key.Token); err != nil {
		return err
	}
	if key.ExpiresAt != nil {
		next := fmt.Sprintf("bbmcp keys token %s -n %s", key.Name, key.Namespace)
		if life.audience != "" { // or the next one could do more than this one
			next += " --audience " + life.audience
		}
		a.printNote("the token ends at %s; take the next one with: %s", key.ExpiresAt.Format(time.RFC3339), next)
	}
	return nil
}

func (l *keyLifetime) addFlags(command *cobra.Command) {
	command.Flags().DurationVar(&l.duration, "duration", defaultLifetime, "how long the token works, from 10m; the API server may give less")
	command.Flags().StringVar(&l.audience, "audience", "", "bbmcp: good for publishing and reading here, and worth nothing at the API server (default: the API server's own)")
	registerCompletion(command, "audience", cobra.FixedCompletions([]string{publishingAudience}, cobra.ShellCompDirectiveNoFileComp))
}

func (l *keyLifetime) check() error {
	if l.audience != "" && l.audience != publishingAudience {
		return usageError{fmt.Sprintf("--audience: the gateway takes no token of %q; want %s, or leave it out", l.audience, publishingAudience)}
	}
	if l.duration < minLifetime {
		return usageError{fmt.Sprintf("--duration: Kubernetes gives no token for less than %s", minLifetime)}
	}
	return nil
}

func (a *app) newKeysTokenCommand(access *keyAccess) *cobra.Command {
	life := keyLifetime{duration: defaultLifetime}
	command := &cobra.Command{
		Use:   "token NAME",
		Short: "Print another token of a key",
		Long: `Print another token of a key. Those before it work on until they end; only
revoking the key ends them all at once.`,
		Args: cobra.ExactArgs(1),
		RunE: a.runGuarded(func(command *cobra.Command, args []string) error {
			if err := life.check(); err != nil {
				return err
			}
			k, err := a.connectToKubernetes(access)
			if err != nil {
				return err
			}
			key, err := k.renewKey(command.Context(), args[0], life)
			if err != nil {
				return err
			}
			return a.printKey(key, life)
		}),
	}
	life.addFlags(command)
	return command
}

func (a *app) newKeysListCommand(access *keyAccess) *cobra.Command {
	return &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List keys, without their tokens",
		Long: `List keys, without their tokens. Kubernetes notes the day on which a token was
last used; it is unknown if you may not list Secrets, and a key that was made
within the last day and used may still show none.`,
		Args: cobra.NoArgs,
		RunE: a.runGuarded(func(command *cobra.Command, _ []string) error {
			k, err := a.connectToKubernetes(access)
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

func (a *app) newKeysRevokeCommand(access *keyAccess) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke NAME...",
		Short: "Delete keys",
		Long: `Delete keys: their tokens, rights and ServiceAccounts. The API server refuses a
revoked token after 10 seconds, the REST API, which remembers for a minute whom it
knows, after 75 seconds at most.`,
		Args: cobra.MinimumNArgs(1),
		RunE: a.runGuarded(func(command *cobra.Command, args []string) error {
			k, err := a.connectToKubernetes(access)
			if err != nil {
				return err
			}
			return a.forEachArgument(args, func(name string) error {
				if err := k.revokeKey(command.Context(), name); err != nil {
					return err
				}
				_, err := fmt.Fprintf(a.Out, "%s revoked\n", name)
				return err
			})
		}),
	}
}

// key is an API key as it is listed, and with its token when it was just made.
type key struct {
	Name           string    `json:"name"`
	Namespace      string    `json:"namespace"`
	Roles          []string  `json:"roles"`
	ServiceAccount string    `json:"service_account"`
	CreatedAt      time.Time `json:"created_at"`
	// ExpiresAt is when the token that was just made ends; absent if it does not.
	ExpiresAt *time.Time `json:"expires_at,omitempty"`
	// LastUsed is a day, null if the token was not used or nobody knows.
	LastUsed *string `json:"last_used"`
	Token    string  `json:"token,omitempty"`
}

func keyView() view[key] {
	return view[key]{
		kind: "keys",
		id:   func(k key) string { return k.Name },
		columns: []column[key]{
			{"NAME", false, func(k key, _ time.Time) string { return k.Name }},
			{"ROLES", false, func(k key, _ time.Time) string { return strings.Join(k.Roles, ",") }},
			{"SERVICE ACCOUNT", false, func(k key, _ time.Time) string { return k.ServiceAccount }},
			{"AGE", false, func(k key, now time.Time) string { return formatAge(k.CreatedAt, now) }},
			{"LAST USED", false, func(k key, _ time.Time) string { return formatText(k.LastUsed) }},
			{"NAMESPACE", true, func(k key, _ time.Time) string { return k.Namespace }},
		},
	}
}

func checkKeyName(name string) error {
	if len(name) > 40 || len(validation.IsDNS1123Label(name)) > 0 {
		return usageError{fmt.Sprintf("%q is no name for a key: use up to 40 lower-case letters, digits and -, with a letter or digit at both ends", name)}
	}
	return nil
}
