// SPDX-License-Identifier: Apache-2.0

// Command checkdocs fails where a page of Markdown is hard to read or speaks of what is not there: prose over 120 characters
// a line, a cell of a table over 200, a link to a file or a heading that does not exist, a path in code quotes that begins
// with a folder of the tree and leads nowhere, a function behind a link to a Go file that does not declare it. make verify
// runs it.
//
// It looks at all pages that git knows, but for those that say in their first line that they are generated. Code blocks are
// left out. It changes nothing and opens no connection: addresses elsewhere are not looked at.
package main
