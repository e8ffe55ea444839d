// SPDX-License-Identifier: Apache-2.0

package netguard_test

import (
	"net/netip"
	"strings"
	"testing"

	"bbmcp.quietstack.com/webhooks/dispatcher/netguard"
)

func TestCheckURLOfSpellings(t *testing.T) {
	t.Parallel()
	policy := netguard.New(netguard.Options{})
	for host, want := range map[string]netguard.Reason{
		// Names pass: what they resolve to is checked when they are connected to.
		"example.com": "", "EXAMPLE.com.": "", "hooks.example.com:8443": "", "xn--bcher-kva.example": "", "a_b.example": "", "receiver.demo.svc": "",
		"metadata.google.internal": "", "127.0.0.1.nip.io": "", "1password.com": "", "0x7f.example": "", "localhost.example": "", "4chan.org": "",
		// Public addresses pass.
		"8.8.8.8": "", "8.8.8.8.": "", "8.8.8.8:443": "", "[2606:4700:4700::1111]": "", "[2606:4700:4700::1111]:443": "",

		"127.0.0.1": netguard.Loopback, "127.0.0.1.": netguard.Loopback, "127.0.0.1:8080": netguard.Loopback,
		"2130706433": netguard.Loopback, "2130706433.": netguard.Loopback, "0x7f000001": netguard.Loopback, "0X7F000001": netguard.Loopback,
		"017700000001": netguard.Loopback, "0177.0.0.1": netguard.Loopback, "0x7f.0.0.1": netguard.Loopback, "127.1": netguard.Loopback,
		"127.0.1": netguard.Loopback, "0177.1": netguard.Loopback, "0x7f.1": netguard.Loopback, "127.0x0.00.01": netguard.Loopback,
		"localhost": netguard.Loopback, "LocalHost": netguard.Loopback, "localhost.": netguard.Loopback, "a.localhost": netguard.Loopback,
		"[::1]": netguard.Loopback, "[0:0:0:0:0:0:0:1]": netguard.Loopback, "[::ffff:127.0.0.1]": netguard.Loopback, "[::ffff:7f00:1]": netguard.Loopback,
		"0": netguard.Unspecified, "0.0.0.0": netguard.Unspecified, "0x0": netguard.Unspecified, "[::]": netguard.Unspecified,
		"10.0.0.1": netguard.Private, "167772161": netguard.Private, "10.1": netguard.Private, "012.0.0.1": netguard.Private, "192.168.257": netguard.Private,
		"169.254.169.254": netguard.Metadata, "2852039166": netguard.Metadata, "0xa9fea9fe": netguard.Metadata, "0251.0376.0251.0376": netguard.Metadata,
		"169.254.43518": netguard.Metadata, "169.16689662": netguard.Metadata, "0xa9.0xfe.0xa9.0xfe": netguard.Metadata, "169.254.169.254.": netguard.Metadata,
		"[::ffff:169.254.169.254]": netguard.Metadata, "[::ffff:a9fe:a9fe]": netguard.Metadata, "[fd00:ec2::254]": netguard.Metadata,
		"168.63.129.16": netguard.Metadata, "100.100.100.200": netguard.Metadata, "192.0.0.192": netguard.Metadata,
		"[64:ff9b::a9fe:a9fe]": netguard.Translated, "[2002:7f00:1::]": netguard.Tunnelled, "[fc00::1]": netguard.UniqueLocal, "[fe80::1]": netguard.LinkLocal,

		"[fe80::1%25eth0]": netguard.Zone, "[::1%251]": netguard.Zone,
		"0x08080808": netguard.Spelling, "134744072": netguard.Spelling, "8.8.2056": netguard.Spelling, "010.8.8.8": netguard.Spelling,
		"１２７.0.0.1": netguard.NotASCII, "①②⑦.0.0.1": netguard.NotASCII, "127。0。0。1": netguard.NotASCII, "bücher.example": netguard.NotASCII,
		"ⓛocalhost": netguard.NotASCII, "exam\u00adple.com": netguard.NotASCII,
		"%31%32%37.0.0.1": netguard.Malformed, "127.0.0.1%00.example.com": netguard.Malformed, "%6c%6f%63alhost": netguard.Malformed,
		"256.256.256.256": netguard.Malformed, "1.2.3.4.5": netguard.Malformed, "127.0.0.08": netguard.Malformed, "4294967296": netguard.Malformed,
		"example.0x7f": netguard.Malformed, "example.1": netguard.Malformed, "127.0.0.1..": netguard.Malformed, "127..1": netguard.Malformed,
		"[127.0.0.1]": netguard.Malformed, "[localhost]": netguard.Malformed, "::1": netguard.Malformed, "[::1": netguard.Malformed, "[]": netguard.Malformed,
		".": netguard.Malformed, "": netguard.Malformed, ":443": netguard.Malformed, "a..b": netguard.Malformed, ".example.com": netguard.Malformed,
		"exa mple.com": netguard.Malformed, "example.com:0": netguard.Malformed, "example.com:65536": netguard.Malformed, "example.com:http": netguard.Malformed,
		"a!b.example": netguard.Malformed, strings.Repeat("a", 64) + ".example": netguard.Malformed, strings.Repeat("a.", 127) + "example": netguard.Malformed,
	} {
		if got := reasonOf(t, policy.CheckURL("https://"+host+"/hook?a=b", nil)); got != want {
			t.Errorf("%s: got %q, want %q", host, got, want)
		}
	}
}

func TestCheckURL(t *testing.T) {
	t.Parallel()
	open := netguard.Options{AllowHTTP: true, Allow: prefixes("127.0.0.0/8")}
	long := "https://example.com/" + strings.Repeat("é", netguard.MaxURLLength-len("https://example.com/"))
	for _, test := range []struct {
		name, url string
		options   netguard.Options
		forbidden []netip.Prefix
		want      netguard.Reason
	}{
		{"https", "https://example.com", netguard.Options{}, nil, ""},
		{"https in capitals", "HTTPS://example.com", netguard.Options{}, nil, ""},
		{"http is off", "http://example.com", netguard.Options{}, nil, netguard.Scheme},
		{"http where allowed", "http://example.com", open, nil, ""},
		{"another scheme", "ftp://example.com", open, nil, netguard.Scheme},
		{"a unix socket", "unix:///var/run/x.sock", open, nil, netguard.Scheme},
		{"no scheme", "//example.com", open, nil, netguard.Scheme},
		{"a path alone", "/hook", open, nil, netguard.Scheme},
		{"opaque", "https:example.com", open, nil, netguard.Malformed},
		{"three slashes", "https:///example.com", open, nil, netguard.Malformed},
		{"a user name", "https://me@example.com", open, nil, netguard.UserInfo},
		{"a user name that looks like the host", "https://example.com@127.0.0.1", netguard.Options{}, nil, netguard.UserInfo},
		{"a password", "https://me:pw@example.com", open, nil, netguard.UserInfo},
		{"an empty user name", "https://@example.com", open, nil, netguard.UserInfo},
		{"a fragment", "https://example.com/#a", open, nil, netguard.Fragment},
		{"an empty fragment", "https://example.com/#", open, nil, netguard.Fragment},
		{"a fragment that looks like a host", "https://127.0.0.1#@example.com", netguard.Options{}, nil, netguard.Fragment},
		{"a backslash before the host", `https:\\127.0.0.1`, netguard.Options{}, nil, netguard.Malformed},
		{"a backslash after the host", `https://127.0.0.1\@example.com`, netguard.Options{}, nil, netguard.Malformed},
		{"a line break", "https://example.com/\r\nHost: x", open, nil, netguard.Malformed},
		{"a space in front", " https://example.com/", open, nil, netguard.Malformed},
		{"2048 characters", long, open, nil, ""},
		{"2049 characters", long + "x", open, nil, netguard.TooLong},
		{"an allowed address", "http://127.0.0.1:9000/x", open, nil, ""},
		{"localhost where loopback is allowed", "http://localhost:9000/x", open, nil, ""},
		{"an unusual spelling of an allowed address", "http://127.1/x", open, nil, netguard.Spelling},
		{"an allowed address that the request forbids", "http://127.0.0.1/x", open, prefixes("127.0.0.1/32"), netguard.ControlPlane},
		{"the API server", "https://34.1.2.3/x", open, prefixes("34.1.2.0/24"), netguard.ControlPlane},
		{"a denied address", "https://8.8.8.8/x", netguard.Options{Deny: prefixes("8.8.8.8/32")}, nil, netguard.Denied},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			err := netguard.New(test.options).CheckURL(test.url, test.forbidden)
			if got := reasonOf(t, err); got != test.want {
				t.Errorf("got %q, want %q", got, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "pw") {
				t.Errorf("error shows the password: %v", err)
			}
		})
	}
}

func FuzzCheckURLFindsLiterals(f *testing.F) {
	policy := netguard.New(netguard.Options{})
	for _, seed := range []string{"https://127.1/", "https://[::1]:1/", "https://0x7f.1", "https://a@b#c", "https://example.com:443/p?q"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := policy.ParseURL(raw, nil)
		if err != nil {
			reasonOf(t, err)
			return
		}
		if addr, ok := netguard.ParseLiteral(u.Hostname()); ok && policy.Check(addr, nil) != nil {
			t.Errorf("%q passes but leads to %v", raw, addr)
		}
	})
}
