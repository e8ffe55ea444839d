// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// cgroups hold each process of the product in a control group with the memory
// limit of its container.
type cgroups struct {
	folder  string // holds a group for each process
	version int    // of the hierarchy: 1 or 2
	cleaner *exec.Cmd
	end     io.Closer // tells the cleaner to
}

// newCgroups makes the folder of the groups below the group of this process, so
// that whatever bounds this process bounds them, or else where the system allows.
func newCgroups() (*cgroups, error) {
	places, version, err := memoryCgroups()
	if err != nil {
		return nil, err
	}
	var failures []error
	for _, place := range places {
		c := &cgroups{folder: filepath.Join(place, fmt.Sprintf("bbmcp-abuse-%d", os.Getpid())), version: version}
		if err := c.make(); err != nil {
			failures = append(failures, err)
			continue
		}
		return c, c.startCleaner()
	}
	return nil, errors.Join(failures...)
}

// memoryCgroups are the folders that groups with a memory limit may be made in,
// that of this process first.
func memoryCgroups() (places []string, version int, err error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, 0, fmt.Errorf("find the cgroup of this process: %w", err)
	}
	var unified string
	for line := range strings.SplitSeq(strings.TrimSpace(string(own)), "\n") {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) != 3 {
			continue
		}
		switch {
		case strings.Contains(","+parts[1]+",", ",memory,"):
			return []string{filepath.Join("/sys/fs/cgroup/memory", parts[2])}, 1, nil
		case parts[1] == "":
			unified = parts[2]
		}
	}
	// A group of version 2 that has processes has no groups with limits below it,
	// so the place is further up, most likely.
	for {
		places = append(places, filepath.Join("/sys/fs/cgroup", unified))
		if unified == "/" || unified == "." || unified == "" {
			return places, 2, nil
		}
		unified = filepath.Dir(unified)
	}
}

// make makes the folder and tries whether a group in it can have a limit.
func (c *cgroups) make() error {
	if err := os.Mkdir(c.folder, 0o755); err != nil {
		return err
	}
	probe := filepath.Join(c.folder, "probe")
	err := func() error {
		if c.version == 2 {
			if err := writeCgroupFile(filepath.Join(c.folder, "cgroup.subtree_control"), "+memory"); err != nil {
				return err
			}
		}
		if err := os.Mkdir(probe, 0o755); err != nil {
			return err
		}
		return c.limit(probe, 64<<20)
	}()
	_ = os.Remove(probe)
	if err != nil {
		_ = os.Remove(c.folder)
	}
	return err
}

func (c *cgroups) limit(group string, bytes int64) error {
	if c.version == 1 {
		return writeCgroupFile(filepath.Join(group, "memory.limit_in_bytes"), strconv.FormatInt(bytes, 10))
	}
	_ = writeCgroupFile(filepath.Join(group, "memory.swap.max"), "0") // there may be no swap
	return writeCgroupFile(filepath.Join(group, "memory.max"), strconv.FormatInt(bytes, 10))
}

// confine makes a command start in a group of its own.
func (c *cgroups) confine(process string, bytes int64, command *exec.Cmd) error {
	group := filepath.Join(c.folder, process)
	if err := os.Mkdir(group, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if err := c.limit(group, bytes); err != nil {
		return err
	}
	shell, err := exec.LookPath("sh")
	if err != nil {
		return err
	}
	command.Args = append([]string{"sh", "-c", `echo $$ >"$0" && exec "$@"`, filepath.Join(group, "cgroup.procs"), command.Path}, command.Args[1:]...)
	command.Path = shell
	return nil
}

// startCleaner starts a process that removes the groups when this one has ended,
// however that comes about: groups stay otherwise.
func (c *cgroups) startCleaner() error {
	c.cleaner = exec.Command("sh", "-c", `cat >/dev/null; for i in 1 2 3 4 5 6 7 8 9; do `+
		`find "$0" -depth -type d -exec rmdir {} + 2>/dev/null && exit; sleep 0.2; done`, c.folder)
	c.cleaner.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is not for it
	in, err := c.cleaner.StdinPipe()
	if err != nil {
		return err
	}
	c.end = in
	return c.cleaner.Start()
}

// close removes the groups, whose processes have ended.
func (c *cgroups) close() error {
	_ = c.end.Close()
	return c.cleaner.Wait()
}

func writeCgroupFile(file, text string) error { return os.WriteFile(file, []byte(text), 0o600) }
