// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"bbmcp.quietstack.com/webhooks/internal/controlplane/release"
)

// assetsVariable names a folder that already holds the binaries, as envtest and kubebuilder use it.
const assetsVariable = "KUBEBUILDER_ASSETS"

// Names of the binaries inside an assets folder.
const (
	etcdBinary              = "etcd"
	apiServerBinary         = "kube-apiserver"
	controllerManagerBinary = "kube-controller-manager"
)

// binaryNames are the three, in the order in which they are built and reported.
func binaryNames() []string { return []string{etcdBinary, apiServerBinary, controllerManagerBinary} }

// Assets are the binaries of a control plane.
type Assets struct {
	// Dir is the folder that holds the three. It is fit for KUBEBUILDER_ASSETS, so envtest can use it too.
	Dir string
	// Etcd, APIServer and ControllerManager are the paths of the binaries.
	Etcd, APIServer, ControllerManager string
}

// Ensure returns the binaries of the control plane. A folder named by KUBEBUILDER_ASSETS is taken as it is; otherwise they
// are downloaded from official releases, as far as the table of releases has a digest for this platform and the network
// gives them, and the rest is built from hack/controlplane of the main module around the working directory: once for each
// version, into bbmcp-webhooks/controlplane in the user's cache folder. A build needs the go command and, with an empty
// build cache, several minutes; progress (nil for none) is told about it every 15 seconds. Of several processes that ask at
// the same time one downloads and builds and the others wait for it. What is interrupted leaves nothing that a later call
// would take for whole. A version takes 250 MB; older ones stay until someone removes them.
func Ensure(ctx context.Context, progress func(string)) (Assets, error) {
	if progress == nil {
		progress = func(string) {}
	}
	assets, _, err := ensureAssets(ctx, progress)
	return assets, err
}

// ensureAssets is Ensure, and tells what it took.
func ensureAssets(ctx context.Context, progress func(string)) (Assets, originEffort, error) {
	if dir := os.Getenv(assetsVariable); dir != "" {
		assets, err := assetsIn(dir)
		if err != nil {
			return Assets{}, originEffort{}, fmt.Errorf("%s: %w (an envtest archive has no %s; unset the variable to get all three)",
				assetsVariable, err, controllerManagerBinary)
		}
		return assets, originEffort{}, nil
	}
	r, err := findRecipe(ctx)
	if err != nil {
		return Assets{}, originEffort{}, fmt.Errorf("control plane binaries: %w", err)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return Assets{}, originEffort{}, fmt.Errorf("control plane binaries: %w", err)
	}
	from := origins{builder: r, releases: officialReleases(), downloader: release.Downloader{Hosts: officialHosts(), Patience: patience}}
	return ensureAssetsIn(ctx, filepath.Join(cache, "bbmcp-webhooks", "controlplane"), from, progress)
}

// ensureAssetsIn returns the binaries in root, which holds a folder for each version, and fills that first if it is not there.
func ensureAssetsIn(ctx context.Context, root string, from origins, progress func(string)) (Assets, originEffort, error) {
	final := filepath.Join(root, from.builder.key())
	if assets, err := assetsIn(final); err == nil {
		return assets, originEffort{}, nil
	}
	if err := os.MkdirAll(root, 0o755); err != nil {
		return Assets{}, originEffort{}, fmt.Errorf("control plane binaries: %w", err)
	}
	unlock, err := waitForAssetsLock(ctx, final+".lock", progress)
	if err != nil {
		return Assets{}, originEffort{}, fmt.Errorf("control plane binaries: %w", err)
	}
	defer unlock()
	if assets, err := assetsIn(final); err == nil {
		return assets, originEffort{}, nil
	}
	spent, err := fillAssetsFolder(ctx, final, from, progress)
	if err != nil {
		return Assets{}, spent, fmt.Errorf("control plane binaries: %w", err)
	}
	assets, err := assetsIn(final)
	return assets, spent, err
}

// fillAssetsFolder gets the binaries beside the final folder and renames, so that the folder is whole or absent. The caller holds
// the lock, so whatever an interrupted download or build left is nobody's.
func fillAssetsFolder(ctx context.Context, final string, from origins, progress func(string)) (originEffort, error) {
	root, unfinished := filepath.Dir(final), filepath.Base(final)+".tmp-"
	entries, err := os.ReadDir(root)
	if err != nil {
		return originEffort{}, err
	}
	for _, entry := range entries {
		if entry.Name() == filepath.Base(final) || strings.HasPrefix(entry.Name(), unfinished) {
			if err := os.RemoveAll(filepath.Join(root, entry.Name())); err != nil {
				return originEffort{}, err
			}
		}
	}
	tmp, err := os.MkdirTemp(root, unfinished)
	if err != nil {
		return originEffort{}, err
	}
	defer func() { _ = os.RemoveAll(tmp) }()
	if err := os.Chmod(tmp, 0o755); err != nil {
		return originEffort{}, err
	}
	spent, err := from.fill(ctx, tmp, progress)
	if err != nil {
		return spent, err
	}
	if _, err := assetsIn(tmp); err != nil {
		return spent, err
	}
	return spent, os.Rename(tmp, final)
}

// assetsIn checks that dir holds the three binaries.
func assetsIn(dir string) (Assets, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return Assets{}, err
	}
	for _, name := range binaryNames() {
		info, err := os.Stat(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			return Assets{}, fmt.Errorf("no %s in %q", name, dir)
		}
		if err != nil {
			return Assets{}, err
		}
		if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
			return Assets{}, fmt.Errorf("%s in %q is not an executable file", name, dir)
		}
	}
	return Assets{
		Dir:               dir,
		Etcd:              filepath.Join(dir, etcdBinary),
		APIServer:         filepath.Join(dir, apiServerBinary),
		ControllerManager: filepath.Join(dir, controllerManagerBinary),
	}, nil
}

// waitForAssetsLock takes the lock that allows one process to download and build, polling so that ctx is obeyed.
func waitForAssetsLock(ctx context.Context, path string, progress func(string)) (unlock func(), err error) {
	const poll = 200 * time.Millisecond
	start := time.Now()
	told := start.Add(-reportEvery)
	for {
		unlock, err := tryLock(path)
		if err == nil {
			return unlock, nil
		}
		if !errors.Is(err, errLocked) {
			return nil, err
		}
		if time.Since(told) >= reportEvery {
			told = time.Now()
			progress(fmt.Sprintf("waiting for another process that gets the control plane, %s", elapsed(start)))
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the process that gets the control plane: %w", ctx.Err())
		case <-time.After(poll):
		}
	}
}

// elapsed is the time since start in whole seconds.
func elapsed(start time.Time) time.Duration { return time.Since(start).Round(time.Second) }
