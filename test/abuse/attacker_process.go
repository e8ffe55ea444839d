// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"
)

// attackerProcess is an attacker's process under way.
type attackerProcess struct {
	command *exec.Cmd
	in      io.Closer
	out     bytes.Buffer
	errs    bytes.Buffer
	ended   chan struct{}
	err     error
}

// startAttacker starts the attacker of a case.
func startAttacker(name string, where attackerPlace) (*attackerProcess, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	a := &attackerProcess{command: exec.Command("nice", "-n", niceness, self), ended: make(chan struct{})}
	a.command.Env = append(os.Environ(), attackerVariable+"="+name)
	a.command.Stdout, a.command.Stderr = &a.out, &a.errs
	a.command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	in, err := a.command.StdinPipe()
	if err != nil {
		return nil, err
	}
	a.in = in
	if err := a.command.Start(); err != nil {
		return nil, fmt.Errorf("start the attacker: %w", err)
	}
	go func() {
		a.err = a.command.Wait()
		close(a.ended)
	}()
	if err := json.NewEncoder(in).Encode(where); err != nil {
		a.kill()
		return nil, fmt.Errorf("tell the attacker: %w", err)
	}
	return a, nil
}

func (a *attackerProcess) pid() int { return a.command.Process.Pid }

// stop ends the attack and returns what came of it.
func (a *attackerProcess) stop() (attackReport, error) {
	_ = a.in.Close()
	select {
	case <-a.ended:
	case <-time.After(attackerEnds):
		a.kill()
		return attackReport{}, errors.New("the attacker does not end")
	}
	var r attackReport
	if a.err != nil {
		return r, fmt.Errorf("the attacker failed: %w\n%s", a.err, a.errs.String())
	}
	return r, json.Unmarshal(a.out.Bytes(), &r)
}

func (a *attackerProcess) kill() {
	_ = syscall.Kill(-a.command.Process.Pid, syscall.SIGKILL)
	<-a.ended
}
