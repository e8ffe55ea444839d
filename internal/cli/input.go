// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// readInputFile reads a file, or standard input for -.
func (a *app) readInputFile(path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(a.In)
	}
	return os.ReadFile(path)
}

// readInputData reads the value of --data: JSON, @file, or - for standard input;
// empty is no data.
func (a *app) readInputData(value string) (json.RawMessage, error) {
	if value == "" {
		return nil, nil
	}
	content := []byte(value)
	if path, isFile := strings.CutPrefix(value, "@"); isFile || value == "-" {
		var err error
		if content, err = a.readInputFile(path); err != nil {
			return nil, fmt.Errorf("--data: %w", err)
		}
	}
	if err := checkInputJSON(content); err != nil {
		return nil, usageError{"--data: " + err.Error()}
	}
	return content, nil
}

// checkInputJSON says where text stops being JSON. Whether the API accepts it is for
// the API to say.
func checkInputJSON(content []byte) error {
	var ignored json.RawMessage
	err := json.Unmarshal(content, &ignored)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return fmt.Errorf("not JSON: %w (byte %d)", err, syntax.Offset)
	}
	if err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	return nil
}
