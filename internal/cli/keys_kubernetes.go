// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	rbacv1client "k8s.io/client-go/kubernetes/typed/rbac/v1"
	"k8s.io/client-go/tools/clientcmd"
)

const (
	tokenPoll = 100 * time.Millisecond
	tokenWait = 15 * time.Second
	undoWait  = 10 * time.Second

	// defaultLifetime is how long a token holds where nobody says; minLifetime is
	// the least that Kubernetes gives.
	defaultLifetime = 24 * time.Hour
	minLifetime     = 10 * time.Minute
)

// kubernetes is what these commands need of the Kubernetes API.
type kubernetes struct {
	namespace string
	core      corev1client.CoreV1Interface
	rbac      rbacv1client.RbacV1Interface
}

// keyLifetime is how long a token holds, for a while or until it is revoked, and for whom
// it is.
type keyLifetime struct {
	duration time.Duration
	long     bool
	audience string // "": the API server's own
}

// createKey makes the objects of a key and its token. If one cannot be made, the
// others are deleted again.
func (k *kubernetes) createKey(ctx context.Context, name string, roles []string, life keyLifetime) (*key, error) {
	account := &corev1.ServiceAccount{
		ObjectMeta:                   keyMeta(objectPrefix+name, name, nil),
		AutomountServiceAccountToken: new(false),
	}
	account, err := k.core.ServiceAccounts(k.namespace).Create(ctx, account, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("there is a key %q in namespace %s already: take another token of it with keys token, revoke it, or choose another name", name, k.namespace)
	}
	if err != nil {
		return nil, fmt.Errorf("create ServiceAccount: %w", err)
	}
	key := &key{Name: name, Namespace: k.namespace, Roles: roles, ServiceAccount: account.Name, CreatedAt: account.CreationTimestamp.UTC()}
	if err := k.completeKey(ctx, account, key, life); err != nil {
		// Also after an interrupt, so that no half of a key is left.
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoWait)
		defer cancel()
		return nil, errors.Join(err, k.revokeKey(undo, name))
	}
	return key, nil
}

// completeKey gives the ServiceAccount of a key its rights and its token.
func (k *kubernetes) completeKey(ctx context.Context, account *corev1.ServiceAccount, key *key, life keyLifetime) (err error) {
	for _, role := range key.Roles {
		binding := &rbacv1.RoleBinding{
			ObjectMeta: keyMeta(account.Name+"-"+role, key.Name, account),
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: rolePrefix + role},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: k.namespace, Name: account.Name}},
		}
		if _, err := k.rbac.RoleBindings(k.namespace).Create(ctx, binding, metav1.CreateOptions{}); err != nil {
			return fmt.Errorf("create RoleBinding: %w", err)
		}
	}
	if life.long {
		key.Token, err = k.storeToken(ctx, account, key.Name)
		return err
	}
	key.Token, key.ExpiresAt, err = k.requestToken(ctx, account.Name, life)
	return err
}

// requestToken asks for a token that ends by itself, and says when.
func (k *kubernetes) requestToken(ctx context.Context, account string, life keyLifetime) (string, *time.Time, error) {
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: new(int64(life.duration.Seconds()))}}
	if life.audience != "" {
		request.Spec.Audiences = []string{life.audience}
	}
	answer, err := k.core.ServiceAccounts(k.namespace).CreateToken(ctx, account, request, metav1.CreateOptions{})
	if err != nil {
		return "", nil, fmt.Errorf("request a token: %w", err)
	}
	return answer.Status.Token, new(answer.Status.ExpirationTimestamp.UTC()), nil
}

// storeToken has a token made that does not end, in a Secret.
func (k *kubernetes) storeToken(ctx context.Context, account *corev1.ServiceAccount, name string) (string, error) {
	secret := &corev1.Secret{ObjectMeta: keyMeta(account.Name, name, account), Type: corev1.SecretTypeServiceAccountToken}
	secret.Annotations = map[string]string{corev1.ServiceAccountNameKey: account.Name}
	if _, err := k.core.Secrets(k.namespace).Create(ctx, secret, metav1.CreateOptions{}); err != nil {
		if apierrors.IsAlreadyExists(err) {
			return "", fmt.Errorf("there is a Secret %s in namespace %s, which is of no key: it stays as it is; choose another name for the key", secret.Name, k.namespace)
		}
		return "", fmt.Errorf("create Secret: %w", err)
	}
	var token string
	err := wait.PollUntilContextTimeout(ctx, tokenPoll, tokenWait, true, func(ctx context.Context) (bool, error) {
		filled, err := k.core.Secrets(k.namespace).Get(ctx, secret.Name, metav1.GetOptions{})
		if err != nil {
			return false, fmt.Errorf("read Secret: %w", err)
		}
		token = string(filled.Data[corev1.ServiceAccountTokenKey])
		return token != "", nil
	})
	if wait.Interrupted(err) && ctx.Err() == nil {
		return "", fmt.Errorf("kube-controller-manager put no token into Secret %s within %s", secret.Name, tokenWait)
	}
	return token, err
}

// keyMeta is the metadata of one of a key's objects. The garbage collector
// deletes them with the ServiceAccount.
func keyMeta(object, name string, owner *corev1.ServiceAccount) metav1.ObjectMeta {
	meta := metav1.ObjectMeta{
		Name:   object,
		Labels: map[string]string{labelKey: name, "app.kubernetes.io/managed-by": "bbmcp"},
	}
	if owner != nil {
		meta.OwnerReferences = []metav1.OwnerReference{
			{APIVersion: "v1", Kind: "ServiceAccount", Name: owner.Name, UID: owner.UID},
		}
	}
	return meta
}

// renewKey takes another token of a key.
func (k *kubernetes) renewKey(ctx context.Context, name string, life keyLifetime) (*key, error) {
	account, err := k.findAccount(ctx, name)
	if err != nil {
		return nil, err
	}
	key := &key{Name: name, Namespace: k.namespace, Roles: []string{}, ServiceAccount: account.Name, CreatedAt: account.CreationTimestamp.UTC()}
	key.Token, key.ExpiresAt, err = k.requestToken(ctx, account.Name, life)
	return key, err
}

// listKeys returns the keys of the namespace, by name.
func (k *kubernetes) listKeys(ctx context.Context) ([]key, error) {
	selector := metav1.ListOptions{LabelSelector: labelKey}
	accounts, err := k.core.ServiceAccounts(k.namespace).List(ctx, selector)
	if err != nil {
		return nil, fmt.Errorf("list ServiceAccounts: %w", err)
	}
	bindings, err := k.rbac.RoleBindings(k.namespace).List(ctx, selector)
	if err != nil {
		return nil, fmt.Errorf("list RoleBindings: %w", err)
	}
	roles := map[string][]string{}
	for _, binding := range bindings.Items {
		name := binding.Labels[labelKey]
		roles[name] = append(roles[name], strings.TrimPrefix(binding.RoleRef.Name, rolePrefix))
	}
	lastUsed, err := k.lastUsed(ctx, selector)
	if err != nil {
		return nil, err
	}
	var keys []key
	for _, account := range accounts.Items {
		name := account.Labels[labelKey]
		slices.Sort(roles[name])
		keys = append(keys, key{
			Name: name, Namespace: account.Namespace, Roles: append([]string{}, roles[name]...), ServiceAccount: account.Name,
			CreatedAt: account.CreationTimestamp.UTC(), LastUsed: lastUsed[name],
		})
	}
	slices.SortFunc(keys, func(a, b key) int { return strings.Compare(a.Name, b.Name) })
	return keys, nil
}

// lastUsed returns when tokens were used, as far as the caller may know.
func (k *kubernetes) lastUsed(ctx context.Context, selector metav1.ListOptions) (map[string]*string, error) {
	secrets, err := k.core.Secrets(k.namespace).List(ctx, selector)
	if apierrors.IsForbidden(err) {
		return map[string]*string{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list Secrets: %w", err)
	}
	used := map[string]*string{}
	for _, secret := range secrets.Items {
		if day, ok := secret.Labels[labelLastUsed]; ok {
			used[secret.Labels[labelKey]] = new(day)
		}
	}
	return used, nil
}

// findAccount is the ServiceAccount of a key.
func (k *kubernetes) findAccount(ctx context.Context, name string) (*corev1.ServiceAccount, error) {
	account, err := k.core.ServiceAccounts(k.namespace).Get(ctx, objectPrefix+name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || err == nil && account.Labels[labelKey] != name {
		return nil, notFoundError{fmt.Sprintf("there is no key %q in namespace %s", name, k.namespace)}
	}
	if err != nil {
		return nil, fmt.Errorf("get ServiceAccount: %w", err)
	}
	return account, nil
}

// revokeKey deletes the objects of a key, its token first, and nothing that only
// has the name or the label of one. What is gone already is passed over, so that a
// revocation that was cut short can be repeated.
func (k *kubernetes) revokeKey(ctx context.Context, name string) error {
	account, err := k.findAccount(ctx, name)
	if err != nil {
		return err
	}
	if err := k.deleteToken(ctx, account); err != nil {
		return err
	}
	bindings, err := k.rbac.RoleBindings(k.namespace).List(ctx, metav1.ListOptions{LabelSelector: labelKey + "=" + name})
	if err != nil {
		return fmt.Errorf("list RoleBindings: %w", err)
	}
	for _, binding := range bindings.Items {
		if !isOwnedBy(&binding, account) {
			continue
		}
		if err := k.rbac.RoleBindings(k.namespace).Delete(ctx, binding.Name, preconditionUID(binding.UID)); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete RoleBinding: %w", err)
		}
	}
	if err := k.core.ServiceAccounts(k.namespace).Delete(ctx, account.Name, preconditionUID(account.UID)); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete ServiceAccount: %w", err)
	}
	return nil
}

// deleteToken deletes the Secret of a key that does not end. Who may not read it
// leaves it to Kubernetes, which deletes it with the ServiceAccount.
func (k *kubernetes) deleteToken(ctx context.Context, account *corev1.ServiceAccount) error {
	secret, err := k.core.Secrets(k.namespace).Get(ctx, account.Name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) || err == nil && !isOwnedBy(secret, account) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("get Secret: %w", err)
	}
	if err := k.core.Secrets(k.namespace).Delete(ctx, secret.Name, preconditionUID(secret.UID)); err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("delete Secret: %w", err)
	}
	return nil
}

// isOwnedBy reports whether an object was made for this ServiceAccount.
func isOwnedBy(object metav1.Object, account *corev1.ServiceAccount) bool {
	return slices.ContainsFunc(object.GetOwnerReferences(), func(owner metav1.OwnerReference) bool {
		return owner.Kind == rbacv1.ServiceAccountKind && owner.UID == account.UID
	})
}

// preconditionUID deletes the object that was read, and none that has its name by now.
func preconditionUID(uid types.UID) metav1.DeleteOptions {
	return metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}}
}

func (a *app) connectToKubernetes(access *keyAccess) (*kubernetes, error) {
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
