// SPDX-License-Identifier: Apache-2.0

package release

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"slices"
	"time"
)

// Errors of [Downloader.Fetch] that decide what its caller does next.
var (
	// ErrNoAnswer says that no host answered at all: the network refuses or is silent, and other files will fare alike.
	ErrNoAnswer = errors.New("no answer")
	// ErrDigest says that the file is not the one that was published.
	ErrDigest = errors.New("not the published file")

	errRedirect = errors.New("redirected elsewhere")
)

// maxRedirects is how many redirects a download follows. The release hosts use one.
const maxRedirects = 3

// Downloader downloads files. It is used as it is made, by one goroutine at a time.
type Downloader struct {
	// Hosts may serve files and be redirected to, as they stand in a URL. Nothing else is asked.
	Hosts []string
	// Patience is how long a host may take to answer, and then for every 32 KiB. There is no bound on the whole.
	Patience time.Duration
	// Roots are the authorities that vouch for the hosts. Nil: those of the system.
	Roots *x509.CertPool
	// Report is told every ReportEvery how far a download is; total is -1 if the host has not said. Nil: nobody.
	Report      func(done, total int64)
	ReportEvery time.Duration
}

// Fetch downloads f and puts its binaries into dir, executable, once the digest of the whole file is the published one; it
// returns the size of the file. After an error there is nothing of it in dir.
//
// A proxy that HTTPS_PROXY names, and NO_PROXY does not except, is used, as by the go command; it carries TLS and cannot
// change what the digest vouches for.
func (d *Downloader) Fetch(ctx context.Context, f File, dir string) (size int64, err error) {
	if err := f.Validate(); err != nil {
		return 0, err
	}
	ctx, w := newWatchdog(ctx, d.Patience)
	defer w.stop()
	client := d.client(w)
	defer client.CloseIdleConnections()
	response, err := d.get(ctx, client, f.URL)
	if err != nil {
		return 0, err
	}
	w.pause()
	defer response.Body.Close()
	size, err = d.receive(ctx, f, response, w, dir)
	if err != nil {
		return size, fmt.Errorf("%s: %w", response.Request.URL.Host, err)
	}
	return size, nil
}

func (d *Downloader) client(w *watchdog) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			TLSClientConfig:        &tls.Config{RootCAs: d.Roots, MinVersion: tls.VersionTLS12},
			ForceAttemptHTTP2:      true,
			DisableCompression:     true, // the digest is of the file, not of what an encoding makes of it
			MaxResponseHeaderBytes: 64 << 10,
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > maxRedirects {
				return fmt.Errorf("%w: more than %d times", errRedirect, maxRedirects)
			}
			if err := d.allow(r.URL); err != nil {
				return fmt.Errorf("%w: %w", errRedirect, err)
			}
			r.Header.Del("Referer")
			w.renew()
			w.resume()
			return nil
		},
	}
}

// allow refuses every address but https ones of the hosts.
func (d *Downloader) allow(u *url.URL) error {
	if u.Scheme != "https" || u.User != nil || !slices.Contains(d.Hosts, u.Host) {
		return fmt.Errorf("%s://%s serves no official releases", u.Scheme, u.Host)
	}
	return nil
}

// get returns the answer 200 to a GET. No error names more of an address than its host: the rest may hold a signature.
func (d *Downloader) get(ctx context.Context, client *http.Client, address string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, errors.New("not an address of a file")
	}
	r.Header.Set("User-Agent", "bbmcp-webhooks")
	if err := d.allow(r.URL); err != nil {
		return nil, err
	}
	response, err := client.Do(r)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		if !errors.Is(err, errRedirect) {
			err = fmt.Errorf("%w: %w", ErrNoAnswer, err)
		}
		return nil, fmt.Errorf("%s: %w", downloaderHost(r), err)
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("%s: answers %s", response.Request.URL.Host, response.Status)
	}
	return response, nil
}

// downloaderHost names the host of a request, and the proxy that is between.
func downloaderHost(r *http.Request) string {
	if proxy, err := http.ProxyFromEnvironment(r); err == nil && proxy != nil {
		return fmt.Sprintf("%s through the proxy %s", r.URL.Host, proxy.Host)
	}
	return r.URL.Host
}

// receive reads the whole answer, unpacks meanwhile, and keeps what was unpacked if the digest is right.
func (d *Downloader) receive(ctx context.Context, f File, response *http.Response, w *watchdog, dir string) (int64, error) {
	h, algorithm, err := f.hash()
	if err != nil {
		return 0, err
	}
	if response.ContentLength > f.MaxSize {
		return 0, fmt.Errorf("%s are more than the %s that are allowed", FormatMiB(response.ContentLength), FormatMiB(f.MaxSize))
	}
	body := &meter{
		body: response.Body, hash: h, watchdog: w, limit: f.MaxSize, total: response.ContentLength,
		report: d.Report, every: d.ReportEvery, reported: time.Now(),
	}
	staged := newStaging(dir, f.Binaries)
	defer staged.discard()
	unpackErr := f.unpack(body, staged)
	if _, ok := errors.AsType[*fs.PathError](unpackErr); ok {
		return body.done, unpackErr
	}
	// An archive ends before its file does, and one that is not the published one ends anyhow: the digest has the word.
	if _, err := io.Copy(io.Discard, body); err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return body.done, fmt.Errorf("after %s: %w", FormatMiB(body.done), err)
	}
	if got := hex.EncodeToString(h.Sum(nil)); got != f.Digest {
		return body.done, fmt.Errorf("%w: its %s is %.16s…, not %.16s…", ErrDigest, algorithm, got, f.Digest)
	}
	if unpackErr != nil {
		return body.done, unpackErr
	}
	return body.done, staged.install()
}
