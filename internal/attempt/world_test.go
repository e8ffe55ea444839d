// SPDX-License-Identifier: Apache-2.0

package attempt

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"bbmcp.quietstack.com/webhooks/dispatcher"
)

// answer is how the endpoint of a webhook behaves.
type answer func(context.Context, dispatcher.Request) (dispatcher.Result, error)

// status answers with a status code after a while.
func status(code int, after time.Duration) answer {
	return func(ctx context.Context, request dispatcher.Request) (dispatcher.Result, error) {
		time.Sleep(after)
		result := dispatcher.Result{Duration: after, StatusCode: code}
		if code > 299 {
			result.Reason = dispatcher.ReasonHTTPStatus
		}
		return result, nil
	}
}

// fails ends without an answer after a while.
func fails(reason dispatcher.Reason, after time.Duration) answer {
	return func(ctx context.Context, request dispatcher.Request) (dispatcher.Result, error) {
		time.Sleep(after)
		return dispatcher.Result{Duration: after, Reason: reason}, nil
	}
}

// hangs ends by its timeout.
func hangs() answer {
	return func(ctx context.Context, request dispatcher.Request) (dispatcher.Result, error) {
		time.Sleep(request.Timeout)
		return dispatcher.Result{Duration: request.Timeout, Reason: dispatcher.ReasonTimeout}, nil
	}
}

// breaks has no result to give.
func breaks(err error, after time.Duration) answer {
	return func(context.Context, dispatcher.Request) (dispatcher.Result, error) {
		time.Sleep(after)
		return dispatcher.Result{}, fmt.Errorf("send: %w", err)
	}
}

// inTurn answers in one way after the other, in the last way for ever.
func inTurn(answers ...answer) answer {
	var mu sync.Mutex
	return func(ctx context.Context, request dispatcher.Request) (dispatcher.Result, error) {
		mu.Lock()
		next := answers[0]
		if len(answers) > 1 {
			answers = answers[1:]
		}
		mu.Unlock()
		return next(ctx, request)
	}
}

// sent is one attempt that reached the sender.
type sent struct {
	uid    types.UID
	hook   string
	number int
	at     time.Duration // since the start
	waited time.Duration // since it was submitted
}

// world is a runner with everything around it: endpoints, and a controller that
// writes outcomes. It lives in a synctest bubble, so its time is made up.
type world struct {
	*Runner
	t     *testing.T
	begin time.Time
	// silent leaves outcomes unwritten.
	silent bool
	// latency is how long a write takes.
	latency time.Duration
	// prepare, if set, runs before an attempt.
	prepare func(context.Context, types.UID) error

	mu        sync.Mutex
	answers   map[string]answer // by namespace/webhook
	otherwise answer
	submitted map[types.UID]time.Duration
	sends     []sent
	outcomes  map[types.UID]Outcome // written
	woken     []types.NamespacedName
	flying    map[types.UID]bool
	byHook    map[string]int
	peak      map[string]int
	most      int
}

// inWorld runs a test in a bubble with a runner that is running.
func inWorld(t *testing.T, options Options, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{
			t:         t,
			begin:     time.Now(),
			answers:   map[string]answer{},
			otherwise: status(200, 20*time.Millisecond),
			submitted: map[types.UID]time.Duration{},
			outcomes:  map[types.UID]Outcome{},
			flying:    map[types.UID]bool{},
			byHook:    map[string]int{},
			peak:      map[string]int{},
		}
		options.Sender = w
		options.Wake = w.onWake
		w.Runner = New(options)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if err := w.Run(ctx); err != nil {
				t.Error(err)
			}
		}()
		test(w)
		w.settleDown()
		stop()
		<-ended
		drainCtx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if err := w.Drain(drainCtx); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		w.check()
	})
}

// settleDown lets everything happen that can without time passing, and checks.
func (w *world) settleDown() {
	w.t.Helper()
	synctest.Wait()
	w.check()
}

// pass lets time pass.
func (w *world) wait(d time.Duration) {
	w.t.Helper()
	time.Sleep(d)
	w.settleDown()
}

func (w *world) elapsed() time.Duration { return time.Since(w.begin) }

// job makes the job of a delivery: its UID is namespace/webhook/anything, its
// destination the webhook's own.
func (w *world) job(uid string, number int) Job {
	part := strings.SplitN(uid, "/", 3)
	return Job{
		UID:         types.UID(uid),
		Delivery:    types.NamespacedName{Namespace: part[0], Name: uid},
		Webhook:     part[1],
		Destination: part[0] + "." + part[1] + ":443",
		Number:      number,
		Timeout:     10 * time.Second,
		Prepare: func(ctx context.Context) (dispatcher.Request, any, error) {
			if w.prepare != nil {
				if err := w.prepare(ctx, types.UID(uid)); err != nil {
					return dispatcher.Request{}, "note", err
				}
			}
			return dispatcher.Request{
				DeliveryID: uid,
				Attempt:    number,
				URL:        part[0] + "/" + part[1],
				Timeout:    10 * time.Second,
			}, "note", nil
		},
	}
}

// submit submits first attempts.
func (w *world) submit(uids ...string) {
	w.t.Helper()
	for _, uid := range uids {
		w.submitJob(w.job(uid, 1))
	}
}

func (w *world) submitJob(job Job) {
	w.t.Helper()
	w.mu.Lock()
	w.submitted[job.UID] = w.elapsed()
	w.mu.Unlock()
	if !w.Submit(job) {
		w.t.Fatalf("Submit(%s, %d) was refused: %+v", job.UID, job.Number, w.View(job.UID))
	}
}

// many submits n deliveries of one webhook.
func (w *world) many(hook, prefix string, n int) {
	w.t.Helper()
	for i := range n {
		w.submit(fmt.Sprintf("%s/%s%d", hook, prefix, i))
	}
}

// Send implements Sender.
func (w *world) Send(ctx context.Context, request dispatcher.Request) (dispatcher.Result, error) {
	uid := types.UID(request.DeliveryID)
	w.mu.Lock()
	if w.flying[uid] {
		w.t.Errorf("%s is in flight twice", uid)
	}
	w.flying[uid] = true
	w.byHook[request.URL]++
	w.peak[request.URL] = max(w.peak[request.URL], w.byHook[request.URL])
	w.most = max(w.most, len(w.flying))
	w.sends = append(w.sends, sent{
		uid: uid, hook: request.URL, number: request.Attempt,
		at: w.elapsed(), waited: w.elapsed() - w.submitted[uid],
	})
	respond := w.answers[request.URL]
	if respond == nil {
		respond = w.otherwise
	}
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		delete(w.flying, uid)
		w.byHook[request.URL]--
		w.mu.Unlock()
	}()
	return respond(ctx, request)
}

func (w *world) onWake(name types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.woken = append(w.woken, name)
	if !w.silent {
		go w.write(types.UID(name.Name))
	}
}

// write acknowledges an outcome as the controller would.
func (w *world) write(uid types.UID) {
	time.Sleep(w.latency)
	view := w.View(uid)
	if view.Phase != Finished {
		return // deleted meanwhile
	}
	w.mu.Lock()
	w.outcomes[uid] = view.Outcome
	w.mu.Unlock()
	w.Written(uid, view.Attempts, view.Outcome.Result.Succeeded())
	w.Observed(uid, view.Attempts)
}

// writeAll acknowledges everything that is finished.
func (w *world) writeAll() {
	for _, name := range w.Unsettled() {
		w.write(types.UID(name.Name))
	}
}

// order returns the deliveries in the order they were sent.
func (w *world) order() []string {
	var uids []string
	for _, s := range w.log() {
		uids = append(uids, string(s.uid))
	}
	return uids
}

// total returns how many attempts were sent.
func (w *world) total() int { return len(w.log()) }

// log returns what was sent.
func (w *world) log() []sent {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.sends)
}

// calls returns what Wake was called with.
func (w *world) calls() []types.NamespacedName {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.woken)
}

// answer sets how the endpoint of namespace/webhook behaves.
func (w *world) answer(hook string, respond answer) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers[hook] = respond
}

// peakOf returns how many attempts of namespace/webhook were in flight at most.
func (w *world) peakOf(hook string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.peak[hook]
}

// count returns how often a webhook was sent to.
func (w *world) count(hook string) int {
	n := 0
	for _, s := range w.log() {
		if s.hook == hook {
			n++
		}
	}
	return n
}

// now in flight, by namespace/webhook.
func (w *world) flightsOf(hook string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.byHook[hook]
}

// outcome returns what was written of a delivery.
func (w *world) outcome(uid string) Outcome {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.outcomes[types.UID(uid)]
}

func (w *world) webhookKey(hook string) types.NamespacedName {
	part := strings.SplitN(hook, "/", 2)
	return types.NamespacedName{Namespace: part[0], Name: part[1]}
}

// classOf returns the class of namespace/webhook.
func (w *world) classOf(hook string) Class {
	part := strings.SplitN(hook, "/", 2)
	w.Runner.mu.Lock()
	defer w.Runner.mu.Unlock()
	return w.webhooks[types.NamespacedName{Namespace: part[0], Name: part[1]}].classify(w.now(), w.slowAfter)
}

// limitOf returns how many attempts of namespace/webhook may be in flight.
func (w *world) limitOf(hook string) int {
	part := strings.SplitN(hook, "/", 2)
	w.Runner.mu.Lock()
	defer w.Runner.mu.Unlock()
	return w.webhooks[types.NamespacedName{Namespace: part[0], Name: part[1]}].limit
}

func expect[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func expectList[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}
