// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// platform is what a program is built for.
type platform struct{ os, arch string }

func (p platform) String() string { return p.os + "/" + p.arch }

// allPlatforms are those of the command line. Those of Linux are also the image's.
func allPlatforms() platforms {
	var all platforms
	for _, system := range []string{"darwin", "linux", "windows"} {
		for _, arch := range []string{"amd64", "arm64"} {
			all = append(all, platform{system, arch})
		}
	}
	return all
}

// platforms is a selection of allPlatforms, in their order. It is a flag.
type platforms []platform

func (p platforms) String() string {
	names := make([]string, len(p))
	for i, each := range p {
		names[i] = each.String()
	}
	return strings.Join(names, ",")
}

// Set reads a list such as linux/amd64,darwin/arm64. The empty one selects all.
func (p *platforms) Set(list string) error {
	*p = nil
	if list == "" {
		return nil
	}
	var wanted platforms
	for name := range strings.SplitSeq(list, ",") {
		system, arch, _ := strings.Cut(name, "/")
		one := platform{system, arch}
		if !slices.Contains(allPlatforms(), one) {
			return fmt.Errorf("platform %q is none of %s", name, allPlatforms())
		}
		wanted = append(wanted, one)
	}
	for _, each := range allPlatforms() {
		if slices.Contains(wanted, each) {
			*p = append(*p, each)
		}
	}
	return nil
}

// linux are the platforms that an image can have.
func (p platforms) linux() (platforms, error) {
	some := slices.DeleteFunc(slices.Clone(p), func(each platform) bool { return each.os != "linux" })
	if len(some) == 0 {
		return nil, errors.New("no platform of Linux is selected, so there is nothing for the image")
	}
	return some, nil
}
