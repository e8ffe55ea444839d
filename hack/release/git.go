// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"slices"
	"strings"
)

// runGit runs git at tree. Settings of the user that change what it finds or prints do not count.
func runGit(ctx context.Context, tree string, environment []string, args ...string) (string, error) {
	const signatures, endings, encoding = "log.showSignature=false", "core.autocrlf=false", "i18n.logOutputEncoding=UTF-8"
	return commandOutput(ctx, tree, environment, "git", append([]string{"-c", signatures, "-c", endings, "-c", encoding}, args...)...)
}

// withoutGitVariables leaves out the variables by which git tells the programs that it starts, as hooks are, which
// repository they are in: it is the one of the folder that counts.
func withoutGitVariables(environment []string) []string {
	return slices.DeleteFunc(environment, func(each string) bool {
		name, _, _ := strings.Cut(each, "=")
		return slices.Contains([]string{
			"GIT_DIR", "GIT_WORK_TREE", "GIT_IMPLICIT_WORK_TREE", "GIT_COMMON_DIR", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_NAMESPACE",
			"GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE", "GIT_REPLACE_REF_BASE",
			"GIT_CONFIG", "GIT_CONFIG_PARAMETERS", "GIT_CONFIG_COUNT",
		}, name)
	})
}
