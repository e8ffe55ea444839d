// SPDX-License-Identifier: Apache-2.0

package report

import (
	"context"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// Machine is where the figures are from.
type Machine struct {
	CPU      string `json:"cpu"`
	Cores    int    `json:"cores"`
	MemoryGB int    `json:"memory_gb"`
	Kernel   string `json:"kernel"`
	Go       string `json:"go"`
	Commit   string `json:"commit"`
	Date     string `json:"date"`
	Load     string `json:"load_average_before"`
	Size     string `json:"size"`
}

// ThisMachine describes where we are; what cannot be found out is empty.
func ThisMachine(ctx context.Context, size string) Machine {
	commit := machineCommandOutput(ctx, "git", "rev-parse", "--short", "HEAD")
	if machineCommandOutput(ctx, "git", "status", "--porcelain") != "" {
		commit += " with changes"
	}
	loads := strings.Fields(readMachineFile("/proc/loadavg"))
	return Machine{
		CPU: machineField(readMachineFile("/proc/cpuinfo"), "model name"), Cores: runtime.NumCPU(),
		MemoryGB: machineKilobytes(machineField(readMachineFile("/proc/meminfo"), "MemTotal")) >> 20,
		Kernel:   strings.TrimSpace(readMachineFile("/proc/sys/kernel/osrelease")), Go: runtime.Version(),
		Commit: commit, Date: time.Now().UTC().Format("2006-01-02 15:04"), Load: strings.Join(loads[:min(3, len(loads))], " "), Size: size,
	}
}

func machineCommandOutput(ctx context.Context, name string, args ...string) string {
	out, err := exec.CommandContext(ctx, name, args...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func readMachineFile(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(text)
}

// machineField finds the first "name: value" of a text.
func machineField(text, name string) string {
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(line, ":")
		if strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

func machineKilobytes(text string) int {
	n, err := strconv.Atoi(strings.TrimSuffix(text, " kB"))
	if err != nil {
		return 0
	}
	return n
}
