// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"bbmcp.quietstack.com/webhooks/api/rest"
)

const (
	// byDefault is the value of a flag that brings a default back.
	byDefault = "default"
	// noRetries is the value of --retry-delays for one attempt.
	noRetries = "none"
)

// settingFlag is a flag for a member of the API's retry_policy, retention and the
// like.
type settingFlag struct {
	name, member, usage string
	values              []string // that there are; nil: any
}

func settingFlags() []settingFlag {
	return []settingFlag{
		{"retry-delays", "retry_policy.delays", "waits before attempts 2, 3, …, separated by commas, such as 5s,1m,10m; none: one attempt (default: 5s,15s,45s,2m)", nil},
		{"retry-timeout", "retry_policy.timeout", "how long one attempt may take, from 1s to 30s (default: 10s)", nil},
		{"retry-jitter", "retry_policy.jitter_percent", "lengthen every delay by a random share of up to so many `percent` (default: 0)", nil},
		{"delivery-deadline", "delivery_deadline", "age at which a delivery fails that has not succeeded, up to 720h (default: 72h)", nil},
		{"overflow", "overflow", "when the webhook takes no more: Skip passes it over, Refuse refuses the whole event (default: Skip)", []string{rest.OverflowSkip, rest.OverflowRefuse}},
		{"retention-succeeded", "retention.succeeded", "how long deliveries are kept after success, up to 720h (default: as the operator says)", nil},
		{"retention-failed", "retention.failed", "how long deliveries are kept after failure, up to 720h (default: as the operator says)", nil},
		{"retention-max-count", "retention.max_count", "how many finished deliveries are kept at most, a `number` (default: as the operator says)", nil},
		{"retention-record", "retention.record", "which deliveries that succeed at once can be looked up: Always, Budgeted or Never (default: Budgeted)", []string{rest.RecordAlways, rest.RecordBudgeted, rest.RecordNever}},
	}
}

// addSettings adds a flag for each setting and returns their names.
func addSettings(command *cobra.Command) (names []string) {
	for _, flag := range settingFlags() {
		command.Flags().String(flag.name, "", flag.usage)
		registerCompletion(command, flag.name, cobra.FixedCompletions(append(flag.values, byDefault), cobra.ShellCompDirectiveNoFileComp))
		names = append(names, flag.name)
	}
	return names
}

// readSettings reads the flags that are given, and which members get their default
// back.
func readSettings(command *cobra.Command) (change rest.SettingsChange, defaults []string, err error) {
	values := map[string]any{}
	for _, flag := range settingFlags() {
		if !command.Flags().Changed(flag.name) {
			continue
		}
		text, err := command.Flags().GetString(flag.name)
		if err != nil {
			return change, nil, err
		}
		if text == byDefault {
			defaults = append(defaults, flag.member)
			continue
		}
		value, err := flag.value(text)
		if err != nil {
			return change, nil, err
		}
		values[flag.member] = value
	}
	change, err = rest.NewSettingsChange(values)
	return change, defaults, err
}

// value is what the API is sent. Whether it is a good one is for the API to say.
func (f settingFlag) value(text string) (any, error) {
	switch f.name {
	case "retry-delays":
		delays := []string{}
		if text != noRetries {
			for delay := range strings.SplitSeq(text, ",") {
				delays = append(delays, strings.TrimSpace(delay))
			}
		}
		return delays, nil
	case "retry-jitter", "retention-max-count":
		number, err := strconv.Atoi(text)
		if err != nil {
			return nil, usageError{"--" + f.name + ": want a whole number, or default"}
		}
		return number, nil
	}
	return text, nil
}
