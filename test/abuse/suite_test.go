// SPDX-License-Identifier: Apache-2.0

package abuse

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"bbmcp.quietstack.com/webhooks/test/receiver"
)

const (
	// fullVariable makes sizes and times as large as what is claimed.
	fullVariable = "ABUSE"
	full         = "full"

	// mostWhole is how long an attack may take that is to be made whole.
	mostWhole = 80 * time.Second
)

// attack is one case.
type attack struct {
	// name is a sentence about what happens.
	name string
	// arrange makes what is there before, with all rights; nil: nothing.
	arrange func(*scene)
	// act runs in the attacker's process until its context ends.
	act func(*attacker)
	// finished reports whether the attacker has done all that it should: the neighbour
	// goes on until then, for mostWhole at most. nil: it attacks for as long as it may.
	finished func(*scene) bool
	// meanwhile is what else is done and must hold during the attack; nil: nothing.
	meanwhile func(*scene)
	// after is what else must hold after it; nil: nothing.
	after func(*scene, attackReport)
	// cores is how many the gateway may take meanwhile, on average; 0: that is not
	// judged, as it does what it is for.
	cores float64
}

// scene is one case under way.
type scene struct {
	*testing.T
	*abusedProduct

	ctx       context.Context
	namespace string // the attacker's
	windows   int    // in which the neighbour is measured
	tokens    map[string]string
	given     map[string]string
	figures   *figures

	fresh  []string // tokens that the gateway has not seen
	before apiRequests
}

// apiRequests are what the API server was asked for until some time.
type apiRequests struct {
	reviews  float64
	writes   float64 // requests about deliveries, or writes of reports
	statuses float64 // writes of the statuses of webhooks
	at       time.Time
}

// attacksOnProcesses are those of strangers, and of tenants on what all share, in the
// order in which they run.
func attacksOnProcesses() []attack {
	return slices.Concat(
		numberAttacks(),
		bodyAttacks(),
		pageAttacks(),
		liveAttacks(),
		fanOutAttacks(),
		connectionAttacks(),
		unreadAttacks(),
		tokenAttacks(),
		largeAttacks(),
		byHandAttacks(),
		floodAttacks(),
	)
}

// attacksOverTLS are on a gateway that serves over TLS, HTTP/2 included.
func attacksOverTLS() []attack {
	return slices.Concat(handshakeAttacks(), http2Attacks())
}

// attacksOnNeighbours are what a tenant with all rights in its own namespace can do
// to others. They must fail also where no admission policy helps.
func attacksOnNeighbours() []attack {
	return slices.Concat(
		forgedAttacks(),
		backlogAttacks(),
		keptAttacks(),
		admissionAttacks(),
		choosyAttacks(),
		failingAttacks(),
		skippedAttacks(),
		changeAttacks(),
		fieldAttacks(),
	)
}

func TestMain(m *testing.M) {
	name := os.Getenv(attackerVariable)
	if name == "" {
		os.Exit(m.Run())
	}
	for _, one := range slices.Concat(attacksOnProcesses(), attacksOverTLS(), attacksOnNeighbours()) {
		if one.name == name {
			if err := playAttacker(one.act); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			os.Exit(0)
		}
	}
	fmt.Fprintf(os.Stderr, "no attack is called %q\n", name)
	os.Exit(1)
}

func TestStrangersAndTenants(t *testing.T) {
	run(t, productOptions{}, attacksOnProcesses())
}

func TestStrangersOverTLS(t *testing.T) {
	run(t, productOptions{tls: true}, attacksOverTLS())
}

// In some namespaces only, with the policies deleted that could help.
func TestTenantsAmongNamespaces(t *testing.T) {
	attacks := attacksOnNeighbours()
	spaces := []any{neighbourSpace}
	for _, space := range attackerSpaces(attacks) {
		spaces = append(spaces, space)
	}
	run(t, productOptions{values: map[string]any{"namespaces": spaces}, managerArgs: retentionLimits(), gatewayArgs: backlogLimits, withoutPolicies: true}, attacks)
}

// In the whole cluster, with the policies deleted that could help.
func TestTenantsInTheCluster(t *testing.T) {
	if !isFull() {
		t.Skip("the same among namespaces in a shorter run")
	}
	run(t, productOptions{managerArgs: retentionLimits(), gatewayArgs: backlogLimits, withoutPolicies: true}, attacksOnNeighbours())
}

// isFull reports whether a person asked for all of it.
func isFull() bool { return os.Getenv(fullVariable) == full }

// size is one for every run, or one as large as what is claimed.
func size[T any](usual, claimed T) T {
	if isFull() {
		return claimed
	}
	return usual
}

// spaceOf is the attacker's namespace in a case.
func spaceOf(i int) string { return fmt.Sprintf("attacker-%d", i) }

// run arranges, attacks and judges.
func (s *scene) run(one attack) {
	if one.arrange != nil {
		one.arrange(s)
	}
	s.settle(s.ctx)
	window := size(1500*time.Millisecond, 10*time.Second)
	s.figures.without = s.notice(s.ctx, s.windows, window/2, 0, func() bool { return true })
	for _, w := range s.watched {
		s.try(w.begin())
	}
	attacker, err := startAttacker(one.name, s.place())
	s.try(err)
	begun, plane := time.Now(), s.planeCPU()
	if one.meanwhile != nil {
		one.meanwhile(s)
	}
	finished := func() bool { return one.finished == nil || one.finished(s) || time.Since(begun) > mostWhole }
	s.figures.with = s.notice(s.ctx, s.windows, window, attacker.pid(), finished)
	s.figures.plane = (s.planeCPU() - plane).Seconds() / time.Since(begun).Seconds()
	s.Logf("attacked for %s", time.Since(begun).Round(100*time.Millisecond))
	for _, w := range s.watched {
		s.figures.processes = append(s.figures.processes, w.end())
	}
	found, err := attacker.stop()
	s.try(err)
	s.Logf("answers to the attacker: %v, the longest after %s, such as %q", found.Answers, found.Longest.Round(time.Millisecond), found.Samples)
	s.figures.cores = one.cores
	s.judge()
	if one.after != nil {
		one.after(s, found)
	}
}

// place is what the attacker of this case knows.
func (s *scene) place() attackerPlace {
	return attackerPlace{
		Gateway: s.gateway.URL, Host: s.gateway.Host(), APIServer: s.stack.ControlPlane.APIServerURL(), CA: s.stack.ControlPlane.CAData(), GatewayCA: s.secured.pem(),
		Namespace: s.namespace, Tokens: s.tokens, Given: s.given, Full: isFull(),
	}
}

// try fails the case at once.
func (s *scene) try(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

// token makes a ServiceAccount of the attacker with these roles and remembers its
// token for the attacker.
func (s *scene) token(name string, roles ...string) {
	s.Helper()
	token, err := s.stack.Token(s.ctx, s.namespace, name, roles)
	s.try(err)
	s.tokens[name] = token
}

// endpoint starts a receiver that answers as a script says until the case is over.
// Each has an address of its own, so that no bound on one destination helps.
func (s *scene) endpoint(number int, steps ...receiver.Step) *receiver.Receiver {
	s.Helper()
	r, err := receiver.Start(receiver.Options{Listen: fmt.Sprintf("127.1.%d.%d:0", number/250, number%250+1), Keep: -1})
	s.try(err)
	s.Cleanup(r.Close)
	r.Script("", steps...)
	return r
}

// figure adds a line to the table.
func (s *scene) figure(format string, args ...any) {
	s.figures.extra = append(s.figures.extra, fmt.Sprintf(format, args...))
}

// asked is how often the API server was asked for something so far.
func (s *scene) asked(labels ...string) float64 {
	s.Helper()
	samples, err := s.stack.ScrapeAPIServer(s.ctx)
	s.try(err)
	return samples.Sum("apiserver_request_total", labels...)
}

// answersBelow says that no answer of the gateway is a server's error.
func (s *scene) answersBelow500(found attackReport) {
	s.Helper()
	for key, n := range found.Answers {
		if strings.HasPrefix(key, "5") && key != "503" || key == "no answer" {
			s.Errorf("%d answers were %s: %s", n, key, found.Samples[key])
		}
	}
	if found.total() == 0 {
		s.Error("the attacker got no answer at all: it has proved nothing")
	}
}

func (s *scene) someAnswers(found attackReport) {
	s.figure("answers: %v, the longest after %s", found.Answers, found.Longest.Round(time.Millisecond))
	s.answersBelow500(found)
}

// onlyRefused says that nothing of the attacker's was taken.
func (s *scene) onlyRefused(found attackReport) {
	s.figure("answers: %v", found.Answers)
	if found.total() == 0 {
		s.Error("the attacker got no answer at all: it has proved nothing")
	}
	for key, n := range found.Answers {
		if key == "207" { // of a batch each event is refused, or else it is noted as 202
			continue
		}
		if strings.HasPrefix(key, "2") || key == "500" {
			s.Errorf("%d answers were %s: %s", n, key, found.Samples[key])
		}
	}
}
