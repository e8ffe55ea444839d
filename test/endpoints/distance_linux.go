// SPDX-License-Identifier: Apache-2.0

package endpoints

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	ipv4HeaderBytes = 20
	sourceAt        = 12 // of an IPv4 header
	destinationAt   = 16
	packetBytes     = 1500
)

// StartDistance starts the way. The process must be inside; see [RunWithDistance].
func StartDistance(ctx context.Context, roundTrip time.Duration) (*Distance, error) {
	if !inDistanceNetwork() {
		return nil, ErrNoNetwork
	}
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("open /dev/net/tun", err)
	}
	const name = "far0"
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err != nil {
		_ = unix.Close(fd)
		return nil, os.NewSyscallError("ioctl TUNSETIFF", err)
	}
	d := &Distance{device: os.NewFile(uintptr(fd), name), halfway: roundTrip / 2}
	for _, arguments := range [][]string{
		{"address", "add", farAddress(0) + "/16", "dev", name},
		{"link", "set", name, "txqueuelen", "10000", "up"},
	} {
		if out, err := exec.CommandContext(ctx, "ip", arguments...).CombinedOutput(); err != nil {
			d.Close()
			return nil, fmt.Errorf("ip %v: %w: %s", arguments, err, out)
		}
	}
	go d.carry()
	return d, nil
}

type packet struct {
	bytes []byte
	due   time.Time
}

// carry turns round what is sent to an address out there, so that it arrives here,
// from there, later. Sums of checksums do not depend on the order of addresses.
func (d *Distance) carry() {
	way := make(chan packet, 16<<10)
	defer close(way)
	go func() {
		for p := range way {
			time.Sleep(time.Until(p.due)) // that is the way
			_, _ = d.device.Write(p.bytes)
		}
	}()
	for {
		bytes := make([]byte, packetBytes)
		n, err := d.device.Read(bytes)
		if err != nil {
			return
		}
		bytes = bytes[:n]
		if n < ipv4HeaderBytes || bytes[0]>>4 != 4 || bytes[destinationAt+2] == droppedNetwork {
			continue
		}
		var source [4]byte
		copy(source[:], bytes[sourceAt:])
		copy(bytes[sourceAt:destinationAt], bytes[destinationAt:ipv4HeaderBytes])
		copy(bytes[destinationAt:], source[:])
		way <- packet{bytes, time.Now().Add(d.halfway)}
	}
}

// isolateDistance makes a command run in a network and with mounts of its own.
func isolateDistance(command *exec.Cmd) {
	attributes := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		attributes.Cloneflags |= syscall.CLONE_NEWUSER
		attributes.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		attributes.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	command.SysProcAttr = attributes
}

// settleDistance makes the network and the mounts of this process usable.
func settleDistance(ctx context.Context) error {
	if out, err := exec.CommandContext(ctx, "ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		return fmt.Errorf("ip link set lo up: %w: %s", err, out)
	}
	return os.NewSyscallError("mount /", syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""))
}
