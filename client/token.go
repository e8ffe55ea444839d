// SPDX-License-Identifier: Apache-2.0

package client

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
)

// Where TokenFromEnvironment looks.
const (
	// EnvToken holds a token.
	EnvToken = "BBMCP_API_KEY" //nolint:gosec // the name of a variable, not a token
	// EnvTokenFile names a file that holds one.
	EnvTokenFile = "BBMCP_API_KEY_FILE" //nolint:gosec // likewise
	// EnvBaseURL holds what goes into Options.BaseURL.
	EnvBaseURL = "BBMCP_API_URL"
)

// ErrNoToken says that no token was found where one was looked for.
var ErrNoToken = errors.New("no API key")

// StaticToken is a source that always returns this token.
func StaticToken(token string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return checkToken(token) }
}

// TokenFile is a source that returns what a file holds, without the white space
// around it. The file is read for every request: tokens that Kubernetes mounts
// are replaced while a program runs, and one small read costs less than telling
// reliably that nothing changed.
func TokenFile(path string) func(context.Context) (string, error) {
	return func(context.Context) (string, error) {
		content, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("read API key: %w", err)
		}
		token, err := checkToken(string(content))
		if err != nil {
			return "", fmt.Errorf("API key file %s: %w", path, err)
		}
		return token, nil
	}
}

// TokenFromEnvironment is the source that the environment names: BBMCP_API_KEY,
// or else the file BBMCP_API_KEY_FILE. Without either it returns ErrNoToken.
func TokenFromEnvironment() func(context.Context) (string, error) {
	if token := os.Getenv(EnvToken); token != "" {
		return StaticToken(token)
	}
	if path := os.Getenv(EnvTokenFile); path != "" {
		return TokenFile(path)
	}
	return func(context.Context) (string, error) {
		return "", fmt.Errorf("%w: set %s or %s", ErrNoToken, EnvToken, EnvTokenFile)
	}
}

// checkToken refuses what could not go into a header, without showing it.
func checkToken(token string) (string, error) {
	token = strings.TrimSpace(token)
	if token == "" {
		return "", fmt.Errorf("%w: it is empty", ErrNoToken)
	}
	for _, c := range []byte(token) {
		if c <= ' ' || c >= 0x7f {
			return "", errors.New("the API key has a character that no token has, such as white space inside")
		}
	}
	return token, nil
}
