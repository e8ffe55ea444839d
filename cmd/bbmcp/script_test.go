// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/internal/controlplane"
	"bbmcp.quietstack.com/webhooks/test/receiver"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

// update writes what the program prints into the scripts; look at the diff.
var update = flag.Bool("update", false, "rewrite the expected output in testdata/script")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"bbmcp": main})
}

// installation is the one running product that all scripts share.
type installation struct {
	cluster  *stack.Stack
	gateway  *stack.Gateway
	endpoint *receiver.Receiver

	mu sync.Mutex // one script at a time makes accounts
}

func startInstallation(t *testing.T) *installation {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Minute)
	defer cancel()
	w := &installation{}
	var err error
	must := func() {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	w.cluster, err = stack.Start(ctx, stack.Options{
		ControlPlane: controlplane.Options{UnsafeNoFsync: true},
		Progress:     func(text string) { t.Log(text) },
	})
	must()
	t.Cleanup(func() {
		if err := w.cluster.Stop(); err != nil {
			t.Error(err)
		}
	})
	_, err = w.cluster.StartManager(ctx, stack.ManagerOptions{Supervise: true})
	must()
	w.gateway, err = w.cluster.StartGateway(ctx, stack.GatewayOptions{Supervise: true})
	must()
	w.endpoint, err = receiver.Start(receiver.Options{})
	must()
	t.Cleanup(w.endpoint.Close)
	return w
}

func TestScripts(t *testing.T) {
	w := startInstallation(t)
	testscript.Run(t, testscript.Params{
		Dir:                 filepath.Join("testdata", "script"),
		UpdateScripts:       *update,
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               w.setup,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"as":       w.switchRole,
			"arrived":  w.arrived,
			"captured": w.captured,
			"exits":    exits,
			"until":    until,
			"appears":  appears,
			"get":      getVariable,
			"norm":     norm,
			"events":   writeEvents,
			"receiver": w.script,
			"secret":   w.secret,
			"bind":     w.bind,
		},
	})
}

// setup gives each script a namespace of its own.
func (w *installation) setup(env *testscript.Env) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "cli-"}}
	if err := w.cluster.Client.Create(context.Background(), namespace); err != nil {
		return err
	}
	env.Setenv("GORACE", "atexit_sleep_ms=20") // under the race detector every run would wait a second at its end
	env.Setenv("NAMESPACE", namespace.Name)
	env.Setenv("BBMCP_API_URL", w.gateway.URL)
	env.Setenv("ENDPOINT", w.endpoint.URL("/"+namespace.Name))
	env.Setenv("KUBECONFIG", w.cluster.ControlPlane.Kubeconfig())
	env.Values[namesKey{}] = &names{given: map[string]string{}, counts: map[string]int{}}
	return nil
}

// switchRole is the command "as": it sets the key to that of an account with these roles, in the script's
// namespace: as editor publisher. "as nobody" takes it away, and "as stranger"
// is an account of another namespace that may do everything there.
func (w *installation) switchRole(ts *testscript.TestScript, _ bool, roles []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	namespace, name := ts.Getenv("NAMESPACE"), strings.Join(roles, "-")
	switch name {
	case "nobody":
		ts.Setenv("BBMCP_API_KEY", "")
		return
	case "stranger":
		namespace, roles = "default", []string{"admin", "publisher"}
	}
	bound := make([]string, 0, len(roles))
	for _, role := range roles {
		bound = append(bound, "bbmcp-"+role)
	}
	token, err := w.cluster.Token(context.Background(), namespace, "test-"+name, bound)
	ts.Check(err)
	ts.Setenv("BBMCP_API_KEY", token)
}

// secret makes a Secret of the script's namespace that is of no key, or checks
// whether one is there: secret NAME make, secret NAME there, secret NAME missing.
func (w *installation) secret(ts *testscript.TestScript, _ bool, args []string) {
	secret := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: ts.Getenv("NAMESPACE"), Name: args[0]}}
	if args[1] == "make" {
		ts.Check(w.cluster.Client.Create(context.Background(), secret))
		return
	}
	err := w.cluster.Client.Get(context.Background(), client.ObjectKeyFromObject(secret), secret)
	ts.Check(client.IgnoreNotFound(err))
	if (err == nil) != (args[1] == "there") {
		ts.Fatalf("Secret %s is there: %t", args[0], err == nil)
	}
}

// bind gives a group a ClusterRole in the script's namespace, by an object that may
// have the label of a key, or checks that it is there: bind team edit, bind team edit
// KEY, bind team there.
func (w *installation) bind(ts *testscript.TestScript, _ bool, args []string) {
	binding := &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: ts.Getenv("NAMESPACE"), Name: args[0]},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: args[1]},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: args[0]}},
	}
	if args[1] == "there" {
		ts.Check(w.cluster.Client.Get(context.Background(), client.ObjectKeyFromObject(binding), binding))
		return
	}
	if len(args) > 2 {
		binding.Labels = map[string]string{"bbmcp.quietstack.com/key": args[2]}
	}
	ts.Check(w.cluster.Client.Create(context.Background(), binding))
}

// script sets how posts to the script's namespace are answered, as package
// receiver reads it: receiver 500 x2, 200.
func (w *installation) script(ts *testscript.TestScript, _ bool, words []string) {
	steps, err := receiver.ParseScript(strings.Join(words, " "))
	ts.Check(err)
	w.endpoint.Script("/"+ts.Getenv("NAMESPACE"), steps...)
}

// arrived waits until so many deliveries were accepted by the endpoint, and
// fails if any came twice.
func (w *installation) arrived(ts *testscript.TestScript, _ bool, args []string) {
	var want int
	if _, err := fmt.Sscan(args[0], &want); err != nil {
		ts.Fatalf("arrived: %v", err)
	}
	path := "/" + ts.Getenv("NAMESPACE")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	ts.Check(w.endpoint.Wait(ctx, path, func(c receiver.Counts) bool { return c.Accepted >= want }))
	events := map[string]bool{}
	for _, post := range w.endpoint.Received(path) {
		if post.Status == http.StatusOK {
			events[post.EventID] = true
		}
	}
	if got := w.endpoint.Counts(path); got.Accepted != want || got.Duplicates != 0 || len(events) != min(want, 1000) {
		ts.Fatalf("%d events in %+v, want %d once each", len(events), got, want)
	}
}

// captured writes the latest post to the script's namespace into two files, as
// an endpoint would that keeps what it gets: captured body.json headers.txt
func (w *installation) captured(ts *testscript.TestScript, _ bool, files []string) {
	posts := w.endpoint.Received("/" + ts.Getenv("NAMESPACE"))
	if len(posts) == 0 {
		ts.Fatalf("nothing has arrived")
	}
	latest := posts[len(posts)-1]
	var header strings.Builder
	fmt.Fprintf(&header, "POST %s HTTP/1.1\r\nHost: %s\r\n", latest.Path, latest.Host)
	ts.Check(latest.Header.Write(&header))
	ts.Check(os.WriteFile(ts.MkAbs(files[0]), []byte(latest.Body), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs(files[1]), []byte(header.String()), 0o600))
}

const (
	// patience is for what takes moments on a machine that is not busy.
	patience = 60 * time.Second
	pollTime = 50 * time.Millisecond
)

// exits runs a program and checks its exit code: exits 3 bbmcp webhooks get x.
func exits(ts *testscript.TestScript, _ bool, args []string) {
	err := ts.Exec(args[1], args[2:]...)
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else {
		ts.Check(err)
	}
	if fmt.Sprint(code) != args[0] {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// until runs a program again and again, until its output matches a pattern.
func until(ts *testscript.TestScript, _ bool, args []string) {
	pattern, deadline := regexp.MustCompile(args[0]), time.Now().Add(patience)
	for {
		err := ts.Exec(args[1], args[2:]...)
		if pattern.MatchString(ts.ReadFile("stdout")) {
			ts.Check(err)
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("never printed %q: %v", args[0], err)
		}
		time.Sleep(pollTime)
	}
}

// appears waits until a file has a text.
func appears(ts *testscript.TestScript, _ bool, args []string) {
	file, deadline := ts.MkAbs(args[1]), time.Now().Add(patience)
	for {
		content, err := os.ReadFile(file)
		if err == nil && strings.Contains(string(content), args[0]) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("%q never appeared in %s, which holds: %s", args[0], args[1], content)
		}
		time.Sleep(pollTime)
	}
}

// writeEvents writes a file of so many events, all different: events 100 file.
func writeEvents(ts *testscript.TestScript, _ bool, args []string) {
	var count int
	if _, err := fmt.Sscan(args[0], &count); err != nil {
		ts.Fatalf("events: %v", err)
	}
	var text strings.Builder
	for i := range count {
		fmt.Fprintf(&text, `{"event":"verification.completed","data":{"verification_id":"ver_%d","transaction_hash":"0x1","verified":true}}`+"\n", i)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(text.String()), 0o600))
}

func TestInstall(t *testing.T) {
	dir := t.TempDir()
	install := exec.CommandContext(t.Context(), "go", "install", ".")
	install.Env = append(os.Environ(), "GOBIN="+dir, "GOFLAGS=")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(dir, "bbmcp"), "version").Output()
	if err != nil || string(out) != "bbmcp dev\n" {
		t.Errorf("printed %q, %v", out, err)
	}
}
