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
		"ⓛocalhost": netguard.NotASCII, "exam\u00adple.com": netguard.Invisible,
		"%31%32%37.0.0.1": netguard.Malformed, "127.0.0.1%00.example.com": netguard.Malformed, "%6c%6f%63alhost": netguard.Malformed,
		"256.256.256.256": netguard.Malformed, "1.2.3.4.5": netguard.Malformed, "127.0.0.08": netguard.Malformed, "4294967296": netguard.Malformed,
		"example.0x7f": netguard.Malformed, "example.1": netguard.Malformed, "127.0.0.1..": netguard.Malformed, "127..1": netguard.Malformed,
		"[127.0.0.1]": netguard.Malformed, "[localhost]": netguard.Malformed, "::1": netguard.Malformed, "[::1": netguard.Malformed, "[]": netguard.Malformed,
		".": netguard.Malformed, "": netguard.Malformed, ":443": netguard.Malformed, "a..b": netguard.Malformed, ".example.com": netguard.Malformed,
		"exa mple.com": netguard.Invisible, "example.com:0": netguard.Malformed, "example.com:65536": netguard.Malformed, "example.com:http": netguard.Malformed,
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
		{"a line break", "https://example.com/\r\nHost: x", open, nil, netguard.Invisible},
		{"a space in front", " https://example.com/", open, nil, netguard.Invisible},
		{"a space within", "https://example.com/a b", open, nil, netguard.Invisible},
		{"a no-break space", "https://example.com/a\u00a0b", open, nil, netguard.Invisible},
		{"a no-break space at the end", "https://example.com/a\u00a0", open, nil, netguard.Invisible},
		{"a next line", "https://example.com/?a=\u0085", open, nil, netguard.Invisible},
		{"a line separator", "https://example.com/\u2028", open, nil, netguard.Invisible},
		{"a zero width space", "https://example.com/\u200bhook", open, nil, netguard.Invisible},
		{"a byte order mark", "\ufeffhttps://example.com/", open, nil, netguard.Invisible},
		{"a mark that turns text around", "https://example.com/\u202egnp", open, nil, netguard.Invisible},
		{"a filler", "https://example.com/\u3164", open, nil, netguard.Invisible},
		{"an empty Braille pattern", "https://example.com/\u2800", open, nil, netguard.Invisible},
		{"a variation selector", "https://example.com/\ufe0f", open, nil, netguard.Invisible},
		{"a tag", "https://example.com/\U000e0041", open, nil, netguard.Invisible},
		{"a control character", "https://example.com/\x7f", open, nil, netguard.Invisible},
		{"not UTF-8", "https://example.com/\xff", open, nil, netguard.Malformed},
		{"other scripts in the path", "https://example.com/\u4f60\u597d?q=\u00fc", open, nil, ""},
		{"half an escape in the path", "https://example.com/%2", open, nil, netguard.Malformed},
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

func TestParseURLKeepsWhatWasWritten(t *testing.T) {
	t.Parallel()
	policy := netguard.New(netguard.Options{})
	for written, want := range map[string]string{
		"":                     "/",
		"/":                    "/",
		"?":                    "/?",
		"?a=b":                 "/?a=b",
		"/hook":                "/hook",
		"/a%2Fb/{id}":          "/a%2Fb/%7Bid%7D",
		"/a%2fb":               "/a%2fb",
		"/a%20b+c":             "/a%20b+c",
		"/a//b/../c/./d/":      "/a//b/../c/./d/",
		"//a/b":                "//a/b",
		"/%C3%BC/ü":            "/%C3%BC/%C3%BC",
		"/!$&'()*+,;=:@-._~[]": "/!$&'()*+,;=:@-._~[]",
		"/\"<>^`{|}":           "/%22%3C%3E%5E%60%7B%7C%7D",
		"/x?q=ü":               "/x?q=%C3%BC",
		"/x?f={a}":             "/x?f=%7Ba%7D",
		"/x?q=a^b|c":           "/x?q=a%5Eb%7Cc",
		"/x?q=a%20b+c&&&d":     "/x?q=a%20b+c&&&d",
		"/x?q=/?:@!$'()*,;=[]": "/x?q=/?:@!$'()*,;=[]",
		"/x?q=100%&r=%zz&s=%4": "/x?q=100%25&r=%25zz&s=%254",
		"/x?q=%25&r=%2525":     "/x?q=%25&r=%2525",
		"/x?":                  "/x?",
		"/x?a?b":               "/x?a?b",
		"/x?q=\"<>`":           "/x?q=%22%3C%3E%60",
		"/" + "😀" + "?" + "😀":  "/%F0%9F%98%80?%F0%9F%98%80",
	} {
		u, err := policy.ParseURL("https://example.com"+written, nil)
		if err != nil {
			t.Errorf("%q: %v", written, err)
			continue
		}
		if got := u.RequestURI(); got != want {
			t.Errorf("%q: got %q, want %q", written, got, want)
		}
		again, err := policy.ParseURL(u.String(), nil)
		if err != nil || again.RequestURI() != u.RequestURI() {
			t.Errorf("%q: encoded twice: %v, %v, %v", written, u, again, err)
		}
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
		for _, c := range []byte(u.RequestURI()) {
			if c <= ' ' || c > '~' {
				t.Errorf("%q is sent as %q", raw, u.RequestURI())
			}
		}
		if addr, ok := netguard.ParseAddressLiteral(u.Hostname()); ok && policy.Check(addr, nil) != nil {
			t.Errorf("%q passes but leads to %v", raw, addr)
		}
	})
}
