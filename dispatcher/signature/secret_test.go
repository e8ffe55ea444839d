// SPDX-License-Identifier: Apache-2.0

package signature_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"text/template"

	"github.com/google/go-cmp/cmp"

	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
)

const shown = "correct-horse-battery-staple"

// holder keeps a Secret where package fmt cannot call its methods.
type holder struct {
	name   string
	secret signature.Secret
	nested map[string][]signature.Secret
}

func TestSecretPrintsRedactedInEveryForm(t *testing.T) {
	t.Parallel()
	secret := signature.NewSecret(shown)
	keys := signature.Keys{Primary: secret, Secondary: secret}
	hidden := holder{name: "h", secret: secret, nested: map[string][]signature.Secret{"k": {secret}}}

	forms := map[string]string{}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "% x", "%d", "%p", "%T", "%t", "%100s", "%.3s", "%U", "%c"} {
		for name, value := range map[string]any{
			"secret": secret, "pointer": &secret, "keys": keys, "hidden": hidden, "hidden pointer": &hidden,
			"slice": []signature.Secret{secret}, "map key": map[signature.Secret]int{secret: 1}, "error": fmt.Errorf("bad %v", secret),
		} {
			forms[verb+" "+name] = fmt.Sprintf(verb, value)
		}
	}
	forms["string"] = secret.String()
	forms["go string"] = secret.GoString()
	forms["concatenated"] = fmt.Sprint("a", secret, errors.New("b"))
	for name, encode := range map[string]func() ([]byte, error){
		"json":     func() ([]byte, error) { return json.Marshal(keys) },
		"json key": func() ([]byte, error) { return json.Marshal(map[signature.Secret]int{secret: 1}) },
		"xml":      func() ([]byte, error) { return xml.Marshal(keys) },
		"text":     secret.MarshalText,
		"binary":   secret.MarshalBinary,
		"gob": func() ([]byte, error) {
			var b bytes.Buffer
			err := gob.NewEncoder(&b).Encode(keys)
			return b.Bytes(), err
		},
		"template": func() ([]byte, error) { return executed(keys) },
		"slog text": func() ([]byte, error) {
			return logged(func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) }, keys, hidden)
		},
		"slog json": func() ([]byte, error) {
			return logged(func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) }, keys, hidden)
		},
	} {
		encoded, err := encode()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		forms[name] = string(encoded)
	}

	hexed := fmt.Sprintf("%x", shown[:8])
	for name, form := range forms {
		if strings.Contains(form, shown[:6]) || strings.Contains(strings.ToLower(form), hexed) {
			t.Errorf("%s shows the secret: %s", name, form)
		}
	}
	if got := fmt.Sprintf("%v %+v %#v %s %q %x %d", secret, secret, secret, secret, secret, secret, secret); got != strings.TrimSpace(strings.Repeat("REDACTED ", 7)) {
		t.Errorf("formatted: %q", got)
	}
}

func executed(keys signature.Keys) ([]byte, error) {
	var b bytes.Buffer
	err := template.Must(template.New("").Parse("{{.}} {{.Primary}} {{printf `%s` .Primary}}")).Execute(&b, keys)
	return b.Bytes(), err
}

func logged(handler func(*bytes.Buffer) slog.Handler, keys signature.Keys, hidden holder) ([]byte, error) {
	var b bytes.Buffer
	slog.New(handler(&b)).Info("m", "secret", keys.Primary, "keys", keys, "hidden", hidden, slog.Group("g", "s", keys.Primary))
	return b.Bytes(), nil
}

func TestSecretRevealsOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	secret := signature.NewSecret(shown)
	type facts struct {
		Revealed, Empty   string
		Equal, Other      bool
		ZeroIsZero, Zero2 bool
	}
	got := facts{
		Revealed: secret.Reveal(), Empty: signature.Secret{}.Reveal(),
		Equal: secret == signature.NewSecret(shown), Other: secret == signature.NewSecret(shown+"x"),
		ZeroIsZero: signature.Secret{}.IsZero(), Zero2: signature.NewSecret("").IsZero(),
	}
	want := facts{Revealed: shown, Equal: true, ZeroIsZero: true, Zero2: true}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
