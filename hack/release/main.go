// SPDX-License-Identifier: Apache-2.0

// Command release makes the files of a release from the commit that is checked out. docs/releases.md says what each
// of them is for. Two runs on one commit with one version of Go, one builder and one key write the same bytes, wherever
// they run.
//
// It is a module of its own, so that the product holds nothing of what packs it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

const usage = `usage:
  release make --version 1.2.3 [--platforms …] [--key key.pem] [--out dist] [--dirty]
  release image --name NAME:TAG [--platforms …] [--out bin/image]
  release push [--registry HOST] [dist]
  release serve --address HOST:PORT [dist]
release COMMAND --help explains the flags`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := runCommand(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1) //nolint:gocritic // stop has nothing left to do
	}
}

// runCommand runs the command that the first argument names.
func runCommand(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New(strings.TrimSpace(usage))
	}
	switch args[0] {
	case "make":
		return runMake(ctx, args[1:])
	case "image":
		return runImage(ctx, args[1:])
	case "push":
		return runPush(ctx, args[1:])
	case "serve":
		return runServe(ctx, args[1:])
	default:
		return errors.New(strings.TrimSpace(usage))
	}
}

// runMake makes a whole release.
func runMake(ctx context.Context, args []string) error {
	var o releaseOptions
	flags := flag.NewFlagSet("make", flag.ContinueOnError)
	flags.StringVar(&o.tree, "tree", ".", "the `folder` of the repository")
	flags.StringVar(&o.out, "out", "dist", "the `folder` for the files; it is emptied if all in it is of a release")
	flags.StringVar(&o.version, "version", "", "the version, without a leading v")
	flags.Var(&o.platforms, "platforms", "leave out all platforms but these, as in linux/amd64,darwin/arm64")
	flags.StringVar(&o.key, "key", "", "sign with the private key in this PEM `file`, ECDSA P-256")
	flags.StringVar(&o.builderID, "builder", "", "the `URI` of the machine that builds, for the provenance")
	flags.BoolVar(&o.dirty, "dirty", false, "take the tree as it is, changes included")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if !versionPattern.MatchString(o.version) {
		return fmt.Errorf("version %q is not a semantic version such as 1.2.3 or 1.2.3-rc.1", o.version)
	}
	r, err := newRelease(ctx, o)
	if err != nil {
		return err
	}
	return r.make(ctx)
}

// runImage makes the image alone, of the tree as it is.
func runImage(ctx context.Context, args []string) error {
	var o releaseOptions
	var image string
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	flags.StringVar(&o.tree, "tree", ".", "the `folder` of the repository")
	flags.StringVar(&o.out, "out", "bin/image", "the `folder` for the archive; it is emptied")
	flags.StringVar(&image, "name", "", "the `NAME:TAG` of the image; the tag is the version")
	flags.Var(&o.platforms, "platforms", "build for these instead of all of Linux, as in linux/amd64,linux/arm64")
	if err := flags.Parse(args); err != nil {
		return err
	}
	at := strings.LastIndex(image, ":")
	if at < 0 {
		return fmt.Errorf("image %q has no tag", image)
	}
	o.version, o.dirty = image[at+1:], true
	r, err := newRelease(ctx, o)
	if err != nil {
		return err
	}
	r.repository = image[:at]
	return r.makeImageAlone(ctx)
}

func runPush(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("push", flag.ContinueOnError)
	instead := flags.String("registry", "", "push to this `HOST` instead of the one that the image is named after")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return pushFolder(ctx, folderArgument(flags), *instead)
}

func runServe(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	address := flags.String("address", "127.0.0.1:0", "the `HOST:PORT` to listen on, of the loopback interface")
	if err := flags.Parse(args); err != nil {
		return err
	}
	return serveRegistry(ctx, folderArgument(flags), *address)
}

// folderArgument is the folder that a command is about.
func folderArgument(flags *flag.FlagSet) string {
	if folder := flags.Arg(0); folder != "" {
		return folder
	}
	return "dist"
}
