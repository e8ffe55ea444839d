// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"bbmcp.quietstack.com/webhooks/dispatcher/signature"
)

// envSecret holds the signing secret for verify.
const envSecret = "BBMCP_WEBHOOK_SECRET" //nolint:gosec // the name of a variable, not a secret

const verifyLong = `Check the signatures of a request that an endpoint captured: the body, byte for
byte as it arrived, its headers, and the webhook's signing secret.

Checked are X-BBMCP-Signature and, if there, X-BBMCP-Signature-Next (hexadecimal
HMAC-SHA256 of the body), webhook-signature (Standard Webhooks) and how far
webhook-timestamp is from now, or from --at. What does not match is named, with the
usual causes if one of them explains it. Nothing is sent anywhere.

The exit code is 0 only if every signature that is there matches and the timestamp
is within --tolerance.`

type verifyFlags struct {
	secret, secretFile string
	headers            []string
	headersFile        string
	named              [5]string // values of the flags of verifyHeaderFlags
	tolerance          time.Duration
	at                 string
}

// verifyHeaderFlags are the headers that have flags of their own.
func verifyHeaderFlags() [5][2]string {
	return [5][2]string{
		{"signature", signature.HeaderSignature},
		{"signature-next", signature.HeaderSignatureNext},
		{"webhook-id", signature.HeaderWebhookID},
		{"webhook-timestamp", signature.HeaderWebhookTimestamp},
		{"webhook-signature", signature.HeaderWebhookSignature},
	}
}

func (a *app) newVerifyCommand() *cobra.Command {
	var flags verifyFlags
	command := &cobra.Command{
		Use:   "verify [BODY]",
		Short: "Check the signatures of a captured request",
		Long:  verifyLong,
		Example: `  bbmcp verify body.json --headers headers.txt --secret-file secret.txt
  bbmcp verify --signature 80ec8a89… --secret-file secret.txt < body.json
  bbmcp verify body.json --headers headers.txt --secret-file secret.txt --at 2026-01-15T10:30:00Z`,
		Args: cobra.MaximumNArgs(1),
		RunE: a.runGuarded(func(_ *cobra.Command, args []string) error {
			capture, err := a.readCapture(args, &flags)
			if err != nil {
				return err
			}
			checks, err := capture.check()
			if err != nil {
				return err
			}
			return a.printChecks(checks)
		}),
	}
	set := command.Flags()
	set.StringVar(&flags.secret, "secret", "", "signing secret; other users of this machine can see it while the command runs, so prefer a file or $"+envSecret)
	set.StringVar(&flags.secretFile, "secret-file", "", "`file` that holds the signing secret")
	set.StringArrayVarP(&flags.headers, "header", "H", nil, "a header as `'Name: value'`; may be repeated")
	set.StringVar(&flags.headersFile, "headers", "", "`file` with a header a line; lines that are none, such as a request line, are passed over")
	for i, named := range verifyHeaderFlags() {
		set.StringVar(&flags.named[i], named[0], "", "value of the header "+named[1])
	}
	set.DurationVar(&flags.tolerance, "tolerance", 5*time.Minute, "how far webhook-timestamp may be away; 0: as far as it likes")
	set.StringVar(&flags.at, "at", "", "when the request arrived, RFC 3339 (default: now)")
	command.MarkFlagsMutuallyExclusive("secret", "secret-file")
	return command
}

// readCapture collects what is to be checked.
func (a *app) readCapture(args []string, flags *verifyFlags) (*capture, error) {
	c := &capture{tolerance: flags.tolerance, at: a.Now()}
	if flags.at != "" {
		at, err := time.Parse(time.RFC3339, flags.at)
		if err != nil {
			return nil, usageError{fmt.Sprintf("--at: %q is not of the form 2026-01-15T10:30:00Z", flags.at)}
		}
		c.at = at
	}
	if flags.tolerance < 0 {
		return nil, usageError{"--tolerance: not below 0"}
	}
	secret, err := a.readVerifySecret(flags)
	if err != nil {
		return nil, err
	}
	c.secret = secret
	if c.header, err = a.readVerifyHeaders(flags); err != nil {
		return nil, err
	}
	path := "-"
	if len(args) == 1 {
		path = args[0]
	}
	if c.body, err = a.readInputFile(path); err != nil {
		return nil, fmt.Errorf("read the body: %w", err)
	}
	return c, nil
}

func (a *app) readVerifySecret(flags *verifyFlags) (string, error) {
	secret := flags.secret
	if flags.secretFile != "" {
		if flags.secretFile == "-" {
			return "", usageError{"--secret-file: standard input is for the body"}
		}
		content, err := a.readInputFile(flags.secretFile)
		if err != nil {
			return "", fmt.Errorf("read the secret: %w", err)
		}
		secret = strings.TrimRight(string(content), "\r\n")
	}
	if secret == "" {
		secret = a.Getenv(envSecret)
	}
	if secret == "" {
		return "", usageError{"no signing secret: set --secret-file, --secret or " + envSecret}
	}
	if err := signature.ValidateSecret(secret); err != nil {
		return "", usageError{err.Error()}
	}
	return secret, nil
}

func (a *app) readVerifyHeaders(flags *verifyFlags) (http.Header, error) {
	header := http.Header{}
	if flags.headersFile != "" {
		content, err := a.readInputFile(flags.headersFile)
		if err != nil {
			return nil, fmt.Errorf("read the headers: %w", err)
		}
		lines := bufio.NewScanner(bytes.NewReader(content))
		for lines.Scan() {
			addVerifyHeader(header, lines.Text())
		}
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("read the headers: %w", err)
		}
	}
	for _, line := range flags.headers {
		if !addVerifyHeader(header, line) {
			return nil, usageError{fmt.Sprintf("--header: %q is not of the form 'Name: value'", line)}
		}
	}
	for i, named := range verifyHeaderFlags() {
		if value := flags.named[i]; value != "" {
			header.Set(named[1], value)
		}
	}
	return header, nil
}

// addVerifyHeader takes a line as curl -v prints it too, which puts > before it.
func addVerifyHeader(header http.Header, line string) bool {
	name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(line), "> "), ":")
	if !ok || name == "" || strings.ContainsAny(name, " \t\"{") {
		return false
	}
	header.Add(name, strings.TrimSpace(value))
	return true
}

func checkView() view[verifyCheck] {
	return view[verifyCheck]{
		kind: "checks",
		columns: []column[verifyCheck]{
			{"HEADER", false, func(c verifyCheck, _ time.Time) string { return c.Header }},
			{"RESULT", false, func(c verifyCheck, _ time.Time) string { return c.Result }},
			{"DETAIL", false, func(c verifyCheck, _ time.Time) string { return c.Detail }},
		},
	}
}

func (a *app) printChecks(checks []verifyCheck) error {
	verified := true
	for _, c := range checks {
		verified = verified && c.Result != resultFailed
	}
	var err error
	if a.output == formatJSON || a.output == formatYAML {
		err = a.printValue(struct {
			Verified bool          `json:"verified"`
			Checks   []verifyCheck `json:"checks"`
		}{verified, checks})
	} else {
		err = printRows(a.Out, checkView(), checks, false, true, a.Now())
	}
	if err != nil {
		return err
	}
	if !verified {
		a.printNote("bbmcp: not verified")
		return errSilent
	}
	return nil
}
