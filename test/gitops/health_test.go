// SPDX-License-Identifier: Apache-2.0

package gitops

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	lua "github.com/yuin/gopher-lua"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

const (
	root    = "../.."
	scripts = root + "/examples/argocd/health"
)

// state is an object with what tools are to say of it, from testdata.
type state struct {
	object                 *unstructured.Unstructured
	argo, kstatus, message string
}

func states(t *testing.T, kind string) map[string]state {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", kind, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want := regexp.MustCompile(`(?m)^# (argo|kstatus|message):(.*)$`)
	all := map[string]state{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		object := &unstructured.Unstructured{}
		content, err := yaml.YAMLToJSON(text)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if err := object.UnmarshalJSON(content); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		said := map[string]string{}
		for _, found := range want.FindAllStringSubmatch(string(text), -1) {
			said[found[1]] = strings.TrimSpace(found[2])
		}
		all[strings.TrimSuffix(filepath.Base(file), ".yaml")] = state{object, said["argo"], said["kstatus"], said["message"]}
	}
	if len(all) < 5 {
		t.Fatalf("%d states of a %s", len(all), kind)
	}
	return all
}

func TestArgoCDHealth(t *testing.T) {
	for _, kind := range []string{"webhook", "webhookdelivery"} {
		script, err := os.ReadFile(filepath.Join(scripts, kind+".lua"))
		if err != nil {
			t.Fatal(err)
		}
		for name, state := range states(t, kind) {
			t.Run(kind+" "+name, func(t *testing.T) {
				health, message := run(t, string(script), state.object.Object)
				if health != state.argo || message != state.message {
					t.Errorf("Argo CD says %s %q, want %s %q", health, message, state.argo, state.message)
				}
			})
		}
	}
}

// A script must also stand what no manager writes.
func TestArgoCDHealthOfBareObjects(t *testing.T) {
	for _, kind := range []string{"webhook", "webhookdelivery"} {
		script, err := os.ReadFile(filepath.Join(scripts, kind+".lua"))
		if err != nil {
			t.Fatal(err)
		}
		bare := map[string]any{"metadata": map[string]any{"generation": int64(1)}, "spec": map[string]any{}}
		if health, _ := run(t, string(script), bare); health != "Progressing" {
			t.Errorf("a %s without status is %s", kind, health)
		}
	}
}

func TestKstatus(t *testing.T) {
	for _, kind := range []string{"webhook", "webhookdelivery"} {
		for name, state := range states(t, kind) {
			t.Run(kind+" "+name, func(t *testing.T) {
				result, err := status.Compute(state.object)
				if err != nil {
					t.Fatal(err)
				}
				if result.Status.String() != state.kstatus {
					t.Errorf("kstatus says %s (%s), want %s", result.Status, result.Message, state.kstatus)
				}
			})
		}
	}
}

// The ConfigMap to merge carries the scripts that are tested.
func TestConfigMapCarriesTheScripts(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "examples/argocd/argocd-cm.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var configMap corev1.ConfigMap
	if err := yaml.UnmarshalStrict(text, &configMap); err != nil {
		t.Fatal(err)
	}
	want := []string{"resource.exclusions"}
	for kind, file := range map[string]string{"Webhook": "webhook.lua", "WebhookDelivery": "webhookdelivery.lua"} {
		key := "resource.customizations.health.bbmcp.quietstack.com_" + kind
		want = append(want, key)
		script, err := os.ReadFile(filepath.Join(scripts, file))
		if err != nil {
			t.Fatal(err)
		}
		if configMap.Data[key] != string(script) {
			t.Errorf("%s is not examples/argocd/health/%s", key, file)
		}
	}
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(configMap.Data)); !slices.Equal(got, want) {
		t.Errorf("keys %q, want %q", got, want)
	}
}

// run runs a script as Argo CD does: the object is the global obj, only base,
// table, string and math are there, and the script returns a table.
func run(t *testing.T, script string, object map[string]any) (health, message string) {
	t.Helper()
	state := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer state.Close()
	for name, open := range map[string]lua.LGFunction{
		lua.BaseLibName: lua.OpenBase, lua.TabLibName: lua.OpenTable, lua.StringLibName: lua.OpenString, lua.MathLibName: lua.OpenMath,
	} {
		if err := state.CallByParam(lua.P{Fn: state.NewFunction(open), Protect: true}, lua.LString(name)); err != nil {
			t.Fatal(err)
		}
	}
	state.SetGlobal("obj", toLua(state, object))
	if err := state.DoString(script); err != nil {
		t.Fatal(err)
	}
	table, isTable := state.Get(-1).(*lua.LTable)
	if !isTable {
		t.Fatalf("the script returns %s", state.Get(-1).Type())
	}
	return table.RawGetString("status").String(), table.RawGetString("message").String()
}

// toLua is a value from JSON as a script sees it.
func toLua(state *lua.LState, value any) lua.LValue {
	switch value := value.(type) {
	case nil:
		return lua.LNil
	case bool:
		return lua.LBool(value)
	case string:
		return lua.LString(value)
	case float64:
		return lua.LNumber(value)
	case int64:
		return lua.LNumber(value)
	case []any:
		table := state.NewTable()
		for _, element := range value {
			table.Append(toLua(state, element))
		}
		return table
	case map[string]any:
		table := state.NewTable()
		for name, element := range value {
			table.RawSetString(name, toLua(state, element))
		}
		return table
	default:
		panic(fmt.Sprintf("no JSON value: %T", value))
	}
}
