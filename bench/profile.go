// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// addProfiling lets our processes offer profiles, if that is asked for.
func (w *world) addProfiling(ctx context.Context, options *worldOptions) error {
	if w.b.profiles == "" {
		return nil
	}
	for name, args := range map[string]*[]string{
		"manager": &options.manager.Args, "manager_dispatcher": &options.manager.DispatcherArgs,
		"gateway": &options.gateway.Args, "gateway_dispatcher": &options.gateway.DispatcherArgs,
	} {
		address, err := freeAddress(ctx)
		if err != nil {
			return err
		}
		w.pprof[name] = address
		*args = append(*args, "--pprof-address="+address)
	}
	return nil
}

// profile takes CPU profiles for d; the returned function waits until they are
// written.
func (w *world) profile(ctx context.Context, label string, d time.Duration) (wait func()) {
	var running sync.WaitGroup
	for name, address := range w.pprof {
		running.Go(func() {
			url := fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", address, max(1, int(d.Seconds())))
			file := filepath.Join(w.b.profiles, label+"-"+name+".pprof")
			if err := download(ctx, url, file); err != nil {
				w.b.say("profile of %s: %v", name, err)
			}
		})
	}
	return running.Wait
}

func download(ctx context.Context, url, file string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	out, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, response.Body)
	return errors.Join(err, out.Close())
}
