// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
)

const (
	roleDisk  = "disk"
	diskBytes = 3 << 30
	pageBytes = 4 << 10
)

// image is a disk in memory as one file of a FUSE file system, under a loop device. A flush takes as long as it is told to,
// one at a time. It remembers apart what the last flush has made durable: a cut keeps that alone.
type image struct {
	fs.Inode
	mu      sync.Mutex
	current []byte
	durable []byte
	dirty   map[int64]bool // pages written since the last flush
	ever    map[int64]bool // pages flushed
	delay   time.Duration
	flushes int
}

func (i *image) Open(context.Context, uint32) (fs.FileHandle, uint32, syscall.Errno) {
	return nil, 0, 0
}

func (i *image) Getattr(_ context.Context, _ fs.FileHandle, out *fuse.AttrOut) syscall.Errno {
	out.Mode, out.Size = syscall.S_IFREG|0o600, uint64(len(i.current))
	return 0
}

func (i *image) Setattr(ctx context.Context, f fs.FileHandle, _ *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	return i.Getattr(ctx, f, out)
}

func (i *image) Read(_ context.Context, _ fs.FileHandle, to []byte, at int64) (fuse.ReadResult, syscall.Errno) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return fuse.ReadResultData(to[:copy(to, i.current[at:])]), 0
}

func (i *image) Write(_ context.Context, _ fs.FileHandle, data []byte, at int64) (uint32, syscall.Errno) {
	i.mu.Lock()
	defer i.mu.Unlock()
	n := copy(i.current[at:], data)
	for page := at / pageBytes; page*pageBytes < at+int64(n); page++ {
		i.dirty[page] = true
	}
	return uint32(n), 0 //nolint:gosec // a request has a MiB at most
}

// Fsync is the flush of the loop device.
func (i *image) Fsync(context.Context, fs.FileHandle, uint32) syscall.Errno {
	i.mu.Lock()
	delay := i.delay
	i.flushes++
	i.mu.Unlock()
	time.Sleep(delay)
	i.mu.Lock()
	defer i.mu.Unlock()
	for page := range i.dirty {
		copy(i.durable[page*pageBytes:(page+1)*pageBytes], i.current[page*pageBytes:])
		i.ever[page] = true
	}
	clear(i.dirty)
	return 0
}

// cut writes what a loss of power leaves.
func (i *image) cut(path string) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := file.Truncate(diskBytes); err != nil {
		return err
	}
	for page := range i.ever {
		if _, err := file.WriteAt(i.durable[page*pageBytes:(page+1)*pageBytes], page*pageBytes); err != nil {
			return err
		}
	}
	return nil
}

// serveDisk is the process of the disk. It answers "flushes", "delay 2ms" and "cut FILE".
func serveDisk(args []string) error {
	flags := flag.NewFlagSet(roleDisk, flag.ContinueOnError)
	mountPoint := flags.String("mount", "", "where the file system with the image goes")
	if err := flags.Parse(args); err != nil {
		return err
	}
	// A disk does not wait for the CPU; without the right to that it does, on a busy machine.
	_ = syscall.Setpriority(syscall.PRIO_PROCESS, 0, -10)
	disk := &image{current: make([]byte, diskBytes), durable: make([]byte, diskBytes), dirty: map[int64]bool{}, ever: map[int64]bool{}}
	root := &fs.Inode{}
	hour := time.Hour
	options := &fs.Options{AttrTimeout: &hour, EntryTimeout: &hour}
	options.DirectMountStrict, options.MaxWrite = true, 1<<20
	options.OnAdd = func(ctx context.Context) {
		root.AddChild("image", root.NewPersistentInode(ctx, disk, fs.StableAttr{Mode: syscall.S_IFREG}), false)
	}
	server, err := fs.Mount(*mountPoint, root, options)
	if err != nil {
		return err
	}
	fmt.Println("mounted")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		command, argument, _ := strings.Cut(lines.Text(), " ")
		switch command {
		case "flushes":
			disk.mu.Lock()
			fmt.Println(disk.flushes)
			disk.mu.Unlock()
		case "delay":
			delay, err := time.ParseDuration(argument)
			disk.mu.Lock()
			disk.delay = delay
			disk.mu.Unlock()
			fmt.Println(err)
		case "cut":
			fmt.Println(disk.cut(argument))
		}
	}
	return server.Unmount()
}

// disk is an ext4 on the process above.
type disk struct {
	*process
	dir    string // its folders
	device string
	store  string // where ext4 is mounted
	probe  time.Duration
}

// newDisk makes one whose fsync of an append takes as long as is asked for; 0: as fast as it goes.
func (s *spike) newDisk(ctx context.Context, fsync time.Duration) (_ *disk, err error) {
	d := &disk{}
	if d.dir, err = os.MkdirTemp("/dev/shm", "bench-log-"); err != nil {
		return nil, err
	}
	d.store = filepath.Join(d.dir, "store")
	raw := filepath.Join(d.dir, "raw")
	if err := errors.Join(os.Mkdir(d.store, 0o700), os.Mkdir(raw, 0o700)); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			d.remove()
		}
	}()
	if d.process, err = s.start(ctx, nil, roleDisk, "-mount", raw); err != nil {
		return nil, err
	}
	if d.device, err = attach(filepath.Join(raw, "image"), d.store, true); err != nil {
		return nil, err
	}
	var flushes float64
	if d.probe, flushes, err = d.measure(); err != nil {
		return nil, err
	}
	for delay, tries := time.Duration(0), 0; fsync > 0 && tries < 3; tries++ {
		delay = max(0, delay+time.Duration(float64(fsync-d.probe)/flushes))
		if _, err = d.ask("delay %s", delay); err != nil {
			return nil, err
		}
		if d.probe, _, err = d.measure(); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// measure is the median fsync of an append of 1 KiB, and how many flushes one is.
func (d *disk) measure() (time.Duration, float64, error) {
	const times = 40
	before, err := d.ask("flushes")
	if err != nil {
		return 0, 0, err
	}
	file, err := os.Create(filepath.Join(d.store, "probe"))
	if err != nil {
		return 0, 0, err
	}
	defer os.RemoveAll(file.Name())
	defer file.Close()
	var took samples
	for range times {
		began := time.Now()
		if _, err := file.Write(make([]byte, 1<<10)); err != nil {
			return 0, 0, err
		}
		if err := file.Sync(); err != nil {
			return 0, 0, err
		}
		took = append(took, time.Since(began))
	}
	after, err := d.ask("flushes")
	return took.at(0.5), max(1, float64(number(after)-number(before))/times), err
}

// sync makes all of it durable.
func (d *disk) sync() error {
	folder, err := os.Open(d.store)
	if err != nil {
		return err
	}
	defer folder.Close()
	return unix.Syncfs(int(folder.Fd()))
}

// cut loses the power: what the last flush has made durable is mounted, repaired by its journal, as a disk of its own. The
// process that writes to this one must stand still.
func (d *disk) cut() (*disk, error) {
	var err error
	next := &disk{}
	if next.dir, err = os.MkdirTemp("/dev/shm", "bench-log-"); err != nil {
		return nil, err
	}
	next.store = filepath.Join(next.dir, "store")
	copied := filepath.Join(next.dir, "image")
	if err := os.Mkdir(next.store, 0o700); err != nil {
		return nil, err
	}
	if answer, err := d.ask("cut %s", copied); err != nil || answer != "<nil>" {
		return nil, fmt.Errorf("cut: %s %w", answer, err)
	}
	next.device, err = attach(copied, next.store, false)
	return next, err
}

func (d *disk) remove() {
	if d.device != "" {
		_, _ = command("umount", d.store)
		_, _ = command("losetup", "--detach", d.device)
	}
	if d.process != nil {
		d.stop()
	}
	_ = os.RemoveAll(d.dir)
}

// attach mounts ext4 in a file.
func attach(file, at string, format bool) (string, error) {
	device, err := command("losetup", "--find", "--show", file)
	if err != nil {
		return "", fmt.Errorf("%w (root is needed, and loop devices)", err)
	}
	if format {
		if _, err := command("mkfs.ext4", "-q", "-E", "nodiscard", device); err != nil {
			return device, err
		}
	}
	_, err = command("mount", "-t", "ext4", device, at)
	return device, err
}

// command runs to its end even when the measurement is cancelled: it is what cleans up.
func command(name string, args ...string) (string, error) {
	out, err := exec.CommandContext(context.Background(), name, args...).CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return "", fmt.Errorf("%s: %s: %w", name, text, err)
	}
	return text, nil
}

// blocks is how many files hold the messages of a stream.
func blocks(store, stream string) int {
	names, err := filepath.Glob(filepath.Join(store, "jetstream", "$G", "streams", stream, "msgs", "*.blk"))
	if err != nil {
		return 0
	}
	return len(names)
}
