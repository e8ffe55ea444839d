// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// noteFile is a progress file: one line "mark id" for each event that was
// accepted. It is only ever appended to. A line that a crash cut short is an
// event that is published again, which its id makes harmless.
type noteFile struct {
	file  *os.File
	marks map[string]struct{}
}

// notesPath is where the progress file is; "" is none.
func (f *publishFlags) notesPath() string {
	switch {
	case f.progressFile == "none":
		return ""
	case f.progressFile != "":
		return f.progressFile
	case f.from == "-":
		return ""
	}
	return f.from + ".progress"
}

// openNotes reads what earlier runs noted. Without a path it returns nil, which
// notes nothing.
func openNotes(path string) (*noteFile, error) {
	if path == "" {
		return nil, nil //nolint:nilnil // methods of nil do nothing
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("--progress-file: %w", err)
	}
	n := &noteFile{file: file, marks: map[string]struct{}{}}
	if err := n.load(); err != nil {
		n.close()
		return nil, fmt.Errorf("--progress-file %s: %w", path, err)
	}
	return n, nil
}

func (n *noteFile) load() error {
	in := bufio.NewReader(n.file)
	for {
		line, err := in.ReadString('\n')
		whole := strings.HasSuffix(line, "\n")
		switch mark, _, ok := strings.Cut(strings.TrimSpace(line), " "); {
		case whole && ok && len(mark) == 32:
			n.marks[mark] = struct{}{}
		case whole && strings.TrimSpace(line) != "":
			return errors.New("this is not a progress file of bbmcp")
		}
		if errors.Is(err, io.EOF) {
			if line == "" {
				return nil
			}
			// Close off what was cut short, so that it cannot run into what follows.
			return n.endTornLine(int64(len(line)))
		}
		if err != nil {
			return err
		}
	}
}

// endTornLine removes the last bytes of the file.
func (n *noteFile) endTornLine(torn int64) error {
	info, err := n.file.Stat()
	if err != nil {
		return err
	}
	return n.file.Truncate(info.Size() - torn)
}

func (n *noteFile) has(line eventLine) bool {
	if n == nil {
		return false
	}
	_, ok := n.marks[line.mark]
	return ok
}

// add notes an accepted event. The marks that has asks for stay as they were
// loaded, so the two need no lock: a mark occurs once in a file, or its lines
// have the same id and say the same.
func (n *noteFile) add(line eventLine) error {
	if n == nil {
		return nil
	}
	if _, err := fmt.Fprintf(n.file, "%s %s\n", line.mark, printableLine(line.id)); err != nil {
		return fmt.Errorf("write the progress file: %w", err)
	}
	return nil
}

func (n *noteFile) close() {
	if n != nil {
		_ = n.file.Close()
	}
}
