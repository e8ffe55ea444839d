// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"k8s.io/client-go/rest"

	"bbmcp.quietstack.com/webhooks/test/ports"
	"bbmcp.quietstack.com/webhooks/test/stack"
)

// addProfiling lets our processes offer profiles, if that is asked for.
func (w *deployment) addProfiling(options *deploymentOptions) error {
	if w.b.profiles == "" {
		return nil
	}
	for name, args := range map[string]*[]string{
		"manager": &options.manager.Args, "manager_dispatcher": &options.manager.DispatcherArgs,
		"gateway": &options.gateway.Args, "gateway_dispatcher": &options.gateway.DispatcherArgs,
	} {
		address, err := ports.FreeAddress()
		if err != nil {
			return err
		}
		w.pprof[name] = address
		*args = append(*args, "--pprof-address="+address)
	}
	return nil
}

// profile takes CPU profiles for d, and notes what the API server is asked
// meanwhile; the returned function waits until they are written.
func (w *deployment) profile(ctx context.Context, label string, d time.Duration) (wait func()) {
	if w.b.profiles == "" {
		return func() {}
	}
	var running sync.WaitGroup
	for name, address := range w.pprof {
		running.Go(func() {
			w.takeProfile(ctx, http.DefaultClient, "http://"+address, label+"-"+name+".pprof", d)
		})
	}
	running.Go(func() {
		admin := w.stack.ControlPlane.AdminConfig()
		client, err := rest.HTTPClientFor(admin)
		if err != nil {
			w.b.say("profile of the API server: %v", err)
			return
		}
		before, err := w.stack.ScrapeAPIServer(ctx)
		w.takeProfile(ctx, client, w.stack.ControlPlane.APIServerURL(), label+"-api_server.pprof", d)
		after, errAfter := w.stack.ScrapeAPIServer(ctx)
		if err := errors.Join(err, errAfter); err != nil {
			w.b.say("requests to the API server: %v", err)
			return
		}
		w.sayProfileRequests(label, before, after)
	})
	return running.Wait
}

// sayProfileRequests lists what the API server has answered between two looks.
func (w *deployment) sayProfileRequests(label string, before, after stack.Samples) {
	answered := map[string]float64{}
	add := func(samples stack.Samples, sign float64) {
		for _, metric := range samples["apiserver_request_total"].GetMetric() {
			labels := map[string]string{}
			for _, pair := range metric.GetLabel() {
				labels[pair.GetName()] = pair.GetValue()
			}
			what := fmt.Sprintf("%s %s/%s: %s", labels["verb"], labels["resource"], labels["subresource"], labels["code"])
			answered[what] += sign * metric.GetCounter().GetValue()
		}
	}
	add(after, 1)
	add(before, -1)
	for _, what := range slices.Sorted(maps.Keys(answered)) {
		if answered[what] > 0 {
			w.b.say("profile %s: %.0f times %s", label, answered[what], what)
		}
	}
}

func (w *deployment) takeProfile(ctx context.Context, client *http.Client, base, name string, d time.Duration) {
	url := fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", base, max(1, int(d.Seconds())))
	if err := downloadProfile(ctx, client, url, filepath.Join(w.b.profiles, name)); err != nil {
		w.b.say("profile: %v", err)
	}
}

func downloadProfile(ctx context.Context, client *http.Client, url, file string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
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
