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
	"bbmcp.quietstack.com/webhooks/internal/endpoint"
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

// runnerFixture is a runner with everything around it: endpoints, and a controller that
// writes outcomes. It lives in a synctest bubble, so its time is made up.
type runnerFixture struct {
	*Runner
	fakeController
	fakeSender
	t     *testing.T
	begin time.Time
	// prepare, if set, runs before an attempt.
	prepare func(context.Context, types.UID) error

	mu        sync.Mutex // of all below and of what is embedded
	submitted map[types.UID]time.Duration
}

// fakeController writes outcomes as the controller of deliveries does.
type fakeController struct {
	silent  bool                  // leaves outcomes unacknowledged
	latency time.Duration         // how long a write takes
	written map[types.UID]Outcome // so far
	woken   []types.NamespacedName
}

// fakeSender has the endpoints, and what was sent to them.
type fakeSender struct {
	answers   map[string]answer // by namespace/webhook
	otherwise answer
	sends     []sent
	sending   map[types.UID]bool
	byHook    map[string]int // under way, by namespace/webhook
	peak      map[string]int
	most      int
}

// withRunner runs a test in a bubble with a runner that is running.
func withRunner(t *testing.T, options Options, test func(f *runnerFixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f := &runnerFixture{
			t:              t,
			begin:          time.Now(),
			submitted:      map[types.UID]time.Duration{},
			fakeController: fakeController{written: map[types.UID]Outcome{}},
			fakeSender: fakeSender{
				answers:   map[string]answer{},
				otherwise: status(200, 20*time.Millisecond),
				sending:   map[types.UID]bool{},
				byHook:    map[string]int{},
				peak:      map[string]int{},
			},
		}
		options.Sender = f
		options.Wake = f.onWake
		f.Runner = New(options)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			if err := f.Run(ctx); err != nil {
				t.Error(err)
			}
		}()
		test(f)
		f.settleDown()
		stop()
		<-ended
		drainCtx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		if _, err := f.Drain(drainCtx); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		f.check()
	})
}

// settleDown lets everything happen that can without time passing, and checks.
func (f *runnerFixture) settleDown() {
	f.t.Helper()
	synctest.Wait()
	f.check()
}

// pass lets time pass.
func (f *runnerFixture) wait(d time.Duration) {
	f.t.Helper()
	time.Sleep(d)
	f.settleDown()
}

func (f *runnerFixture) elapsed() time.Duration { return time.Since(f.begin) }

// job makes the job of a delivery: its UID is namespace/webhook/anything, its
// destination the webhook's own.
func (f *runnerFixture) job(uid string, number int) Job {
	part := strings.SplitN(uid, "/", 3)
	return Job{
		UID:         types.UID(uid),
		Delivery:    types.NamespacedName{Namespace: part[0], Name: uid},
		Webhook:     part[1],
		Destination: part[0] + "." + part[1] + ":443",
		Number:      number,
		Timeout:     10 * time.Second,
		Prepare: func(ctx context.Context) (dispatcher.Request, any, error) {
			if f.prepare != nil {
				if err := f.prepare(ctx, types.UID(uid)); err != nil {
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
func (f *runnerFixture) submit(uids ...string) {
	f.t.Helper()
	for _, uid := range uids {
		f.submitJob(f.job(uid, 1))
	}
}

func (f *runnerFixture) submitJob(job Job) {
	f.t.Helper()
	f.mu.Lock()
	f.submitted[job.UID] = f.elapsed()
	f.mu.Unlock()
	if !f.Submit(job) {
		f.t.Fatalf("Submit(%s, %d) was refused: %+v", job.UID, job.Number, f.State(job.UID))
	}
}

// many submits n deliveries of one webhook.
func (f *runnerFixture) many(hook, prefix string, n int) {
	f.t.Helper()
	for i := range n {
		f.submit(fmt.Sprintf("%s/%s%d", hook, prefix, i))
	}
}

// Send implements Sender.
func (f *runnerFixture) Send(ctx context.Context, request dispatcher.Request) (dispatcher.Result, error) {
	uid := types.UID(request.DeliveryID)
	f.mu.Lock()
	if f.sending[uid] {
		f.t.Errorf("%s is under way twice", uid)
	}
	f.sending[uid] = true
	f.byHook[request.URL]++
	f.peak[request.URL] = max(f.peak[request.URL], f.byHook[request.URL])
	f.most = max(f.most, len(f.sending))
	f.sends = append(f.sends, sent{
		uid: uid, hook: request.URL, number: request.Attempt,
		at: f.elapsed(), waited: f.elapsed() - f.submitted[uid],
	})
	respond := f.answers[request.URL]
	if respond == nil {
		respond = f.otherwise
	}
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		delete(f.sending, uid)
		f.byHook[request.URL]--
		f.mu.Unlock()
	}()
	return respond(ctx, request)
}

func (f *runnerFixture) onWake(name types.NamespacedName) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.woken = append(f.woken, name)
	if !f.silent {
		go f.write(types.UID(name.Name))
	}
}

// write acknowledges an outcome as the controller would.
func (f *runnerFixture) write(uid types.UID) {
	time.Sleep(f.latency)
	view := f.State(uid)
	if view.Phase != Finished {
		return // deleted meanwhile
	}
	f.mu.Lock()
	f.written[uid] = view.Outcome
	f.mu.Unlock()
	f.Acknowledge(uid, Ack{Attempts: view.Attempts, Final: view.Outcome.Result.Succeeded()})
	f.Acknowledge(uid, Ack{Attempts: view.Attempts, Cached: true})
}

// unsettled returns the deliveries whose outcome waits to be written.
func (f *runnerFixture) unsettled() []types.NamespacedName {
	f.Runner.mu.Lock()
	defer f.Runner.mu.Unlock()
	return f.Runner.outcomes.unsettled()
}

// writeAll acknowledges everything that is finished.
func (f *runnerFixture) writeAll() {
	for _, name := range f.unsettled() {
		f.write(types.UID(name.Name))
	}
}

// order returns the deliveries in the order they were sent.
func (f *runnerFixture) order() []string {
	var uids []string
	for _, s := range f.log() {
		uids = append(uids, string(s.uid))
	}
	return uids
}

// total returns how many attempts were sent.
func (f *runnerFixture) total() int { return len(f.log()) }

// log returns what was sent.
func (f *runnerFixture) log() []sent {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.sends)
}

// calls returns what Wake was called with.
func (f *runnerFixture) calls() []types.NamespacedName {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.woken)
}

// answer sets how the endpoint of namespace/webhook behaves.
func (f *runnerFixture) answer(hook string, respond answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers[hook] = respond
}

// peakOf returns how many attempts of namespace/webhook were under way at most.
func (f *runnerFixture) peakOf(hook string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.peak[hook]
}

// count returns how often a webhook was sent to.
func (f *runnerFixture) count(hook string) int {
	n := 0
	for _, s := range f.log() {
		if s.hook == hook {
			n++
		}
	}
	return n
}

// now under way, by namespace/webhook.
func (f *runnerFixture) underWayOf(hook string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.byHook[hook]
}

// outcome returns what was written of a delivery.
func (f *runnerFixture) outcome(uid string) Outcome {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.written[types.UID(uid)]
}

func (f *runnerFixture) webhookKey(hook string) types.NamespacedName {
	part := strings.SplitN(hook, "/", 2)
	return types.NamespacedName{Namespace: part[0], Name: part[1]}
}

// stateOf returns the state of the endpoint of namespace/webhook.
func (f *runnerFixture) stateOf(hook string) endpoint.State {
	part := strings.SplitN(hook, "/", 2)
	f.Runner.mu.Lock()
	defer f.Runner.mu.Unlock()
	return f.scheduler.webhooks[types.NamespacedName{Namespace: part[0], Name: part[1]}].tracker.State(&f.scheduler.rules, f.scheduler.clock(f.now()))
}

// limitOf returns how many attempts of namespace/webhook may be under way.
func (f *runnerFixture) limitOf(hook string) int {
	part := strings.SplitN(hook, "/", 2)
	f.Runner.mu.Lock()
	defer f.Runner.mu.Unlock()
	return f.scheduler.webhooks[types.NamespacedName{Namespace: part[0], Name: part[1]}].tracker.Limit()
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
