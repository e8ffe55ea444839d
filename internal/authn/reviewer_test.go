// SPDX-License-Identifier: Apache-2.0

package authn

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authenticationclient "k8s.io/client-go/kubernetes/typed/authentication/v1"
)

const issuer = "https://kubernetes.default.svc"

// cluster is an API server, as far as tokens go.
type cluster struct {
	authenticationclient.TokenReviewInterface

	t       testing.TB
	now     time.Time
	signers map[string]jose.Signer
	keys    []jose.JSONWebKey
	away    error // of the keys
	read    int   // how often the keys were
	revoked map[string]bool
	foreign map[string]string // users of tokens of another issuer
	reviews int
	failing error // of reviews
	blind   bool  // it knows nothing of audiences
}

func newCluster(t testing.TB) (*cluster, *Reviewer) {
	c := &cluster{
		t: t, now: time.Unix(1_700_000_000, 0), signers: map[string]jose.Signer{},
		revoked: map[string]bool{}, foreign: map[string]string{},
	}
	c.addKey("first", true)
	r := newReviewer(c, c.get, NewMetrics(prometheus.NewRegistry()), func() time.Time { return c.now })
	return c, r
}

// addKey makes a key; published ones are among those that the API server shows.
func (c *cluster) addKey(id string, published bool) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	options := (&jose.SignerOptions{}).WithHeader("kid", id)
	if c.signers[id], err = jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: key}, options); err != nil {
		c.t.Fatal(err)
	}
	if published {
		c.keys = append(c.keys, jose.JSONWebKey{Key: key.Public(), KeyID: id, Algorithm: "ES256", Use: "sig"})
	}
}

func (c *cluster) get(_ context.Context, path string) ([]byte, error) {
	if c.away != nil {
		return nil, c.away
	}
	if path == configurationPath {
		return json.Marshal(map[string]string{"issuer": issuer})
	}
	c.read++
	return json.Marshal(jose.JSONWebKeySet{Keys: c.keys})
}

// token is one of a ServiceAccount, changed by edit.
func (c *cluster) token(key, subject string, edit ...func(*jwt.Claims)) string {
	claims := jwt.Claims{
		Issuer: issuer, Subject: subject, Audience: jwt.Audience{issuer}, ID: rand.Text(),
		Expiry: jwt.NewNumericDate(c.now.Add(24 * time.Hour)), NotBefore: jwt.NewNumericDate(c.now.Add(-time.Minute)),
	}
	for _, f := range edit {
		f(&claims)
	}
	text, err := jwt.Signed(c.signers[key]).Claims(claims).Serialize()
	if err != nil {
		c.t.Fatal(err)
	}
	return text
}

// Create implements TokenReviewInterface.
func (c *cluster) Create(_ context.Context, review *authenticationv1.TokenReview, _ metav1.CreateOptions) (*authenticationv1.TokenReview, error) {
	c.reviews++
	if c.failing != nil {
		return nil, c.failing
	}
	var claims jwt.Claims
	if parsed, err := jwt.ParseSigned(review.Spec.Token, algorithms); err == nil {
		_ = parsed.UnsafeClaimsWithoutVerification(&claims)
	}
	name := claims.Subject
	if claims.Issuer != issuer && claims.Issuer != legacyIssuer {
		name = c.foreign[review.Spec.Token]
	}
	wanted := review.Spec.Audiences
	if wanted == nil && claims.Issuer == issuer {
		wanted = []string{issuer}
	}
	isMeant := len(wanted) == 0 || slices.ContainsFunc(wanted, func(audience string) bool { return claims.Audience.Contains(audience) })
	if name != "" && isMeant && !c.revoked[review.Spec.Token] {
		review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{Username: name, Groups: []string{"all"}}}
		if !c.blind {
			review.Status.Audiences = wanted
		}
	}
	return review, nil
}

// asking identifies a token and counts what it costs.
type asking struct {
	t *testing.T
	c *cluster
	r *Reviewer
}

// want checks what becomes of a token: "" for valid, or the kind of the refusal.
func (a asking) want(what, token, address, refusal string, reviews int) {
	a.t.Helper()
	before := a.c.reviews
	who, err := a.r.Authenticate(a.t.Context(), token, address)
	var got string
	switch {
	case err == nil:
	case as[*InvalidError](err):
		got = "invalid"
	case as[*LimitError](err):
		got = "limited"
	default:
		got = "failed"
	}
	if got != refusal || a.c.reviews-before != reviews || (err == nil) != (who != nil) {
		a.t.Errorf("%s: %q (%v) after %d reviews, want %q after %d", what, got, err, a.c.reviews-before, refusal, reviews)
	}
}

func as[E error](err error) bool {
	_, ok := errors.AsType[E](err)
	return ok
}

const (
	one   = "system:serviceaccount:a:one"
	other = "system:serviceaccount:b:other"
)

func TestWhatCannotBeATokenOfTheClusterCostsNoReview(t *testing.T) {
	c, r := newCluster(t)
	a := asking{t, c, r}
	c.addKey("unpublished", false)
	forged := &cluster{t: t, now: c.now, signers: map[string]jose.Signer{}}
	forged.addKey("first", false)
	good := c.token("first", one)
	for name, token := range map[string]string{
		"shaped like one":               "a.b.c",
		"of endless size":               string(make([]byte, MaxTokenBytes+1)),
		"cut off":                       good[:len(good)-8],
		"without a signature":           "eyJhbGciOiJub25lIn0.eyJpc3MiOiJodHRwczovL2t1YmVybmV0ZXMuZGVmYXVsdC5zdmMifQ.",
		"signed by another key":         forged.token("first", one),
		"naming a key that is not ours": c.token("unpublished", one),
		"of the old kind, forged":       forged.token("first", one, func(claims *jwt.Claims) { claims.Issuer = legacyIssuer }),
		"expired":                       c.token("first", one, func(claims *jwt.Claims) { claims.Expiry = jwt.NewNumericDate(c.now.Add(-2 * leeway)) }),
		"not valid yet":                 c.token("first", one, func(claims *jwt.Claims) { claims.NotBefore = jwt.NewNumericDate(c.now.Add(2 * leeway)) }),
	} {
		for range 100 {
			a.want(name, token, "10.0.0.1", "invalid", 0)
		}
	}
	a.want("a good one", good, "10.0.0.1", "", 1)
	if got := testutil.ToFloat64(r.metrics.tokens.WithLabelValues(tokenImpossible)); got != 900 {
		t.Errorf("%v were counted", got)
	}
}

func TestAnswersAreKept(t *testing.T) {
	c, r := newCluster(t)
	a := asking{t, c, r}
	token := c.token("first", one)
	a.want("new", token, "", "", 1)
	a.want("again", token, "", "", 0)
	c.now = c.now.Add(AnswerTTL)
	a.want("a minute later", token, "", "", 1)
	c.revoked[token] = true
	a.want("revoked meanwhile", token, "", "", 0)
	c.now = c.now.Add(AnswerTTL)
	a.want("and reviewed", token, "", "invalid", 1)
	a.want("again", token, "", "invalid", 0)
	c.revoked[token] = false
	c.now = c.now.Add(RefusalTTL)
	a.want("no longer revoked", token, "", "", 1)

	short := c.token("first", one, func(claims *jwt.Claims) { claims.Expiry = jwt.NewNumericDate(c.now.Add(10 * time.Second)) })
	a.want("about to expire", short, "", "", 1)
	c.now = c.now.Add(10 * time.Second)
	c.revoked[short] = true
	a.want("at its end", short, "", "invalid", 1)

	old := c.token("first", one, func(claims *jwt.Claims) { claims.Issuer, claims.Expiry, claims.Audience = legacyIssuer, nil, nil })
	a.want("of the old kind", old, "", "", 1)
	c.failing = errors.New("away")
	a.want("while the API server is away", c.token("first", one), "", "failed", 1)
	a.want("one that is known", old, "", "", 0)
}

func TestIdentity(t *testing.T) {
	c, r := newCluster(t)
	who, err := r.Authenticate(t.Context(), c.token("first", one), "")
	if err != nil || who.User.GetName() != one || who.Namespace != "a" {
		t.Errorf("%+v, %v", who, err)
	}
	same, err := r.Authenticate(t.Context(), c.token("first", one), "")
	if err != nil || same.Digest != who.Digest {
		t.Errorf("another token of it: %+v, %v", same, err)
	}
	different, err := r.Authenticate(t.Context(), c.token("first", other), "")
	if err != nil || different.Digest == who.Digest || different.Namespace != "b" {
		t.Errorf("somebody else: %+v, %v", different, err)
	}
}

func TestKeysAreReadAgainForOneThatIsNotKnown(t *testing.T) {
	c, r := newCluster(t)
	a := asking{t, c, r}
	r.ReadKeys(t.Context())
	if got := testutil.ToFloat64(r.metrics.keys); got != 1 {
		t.Errorf("%v keys", got)
	}
	c.addKey("second", true)
	rotated := c.token("second", one)
	a.want("within 10 s", rotated, "", "invalid", 0)
	c.now = c.now.Add(minKeysInterval)
	a.want("after them", rotated, "", "", 1)
	c.addKey("third", false)
	for range 100 {
		a.want("a key that is not there", c.token("third", one), "", "invalid", 0)
	}
	c.away = errors.New("away")
	c.now = c.now.Add(minKeysInterval)
	a.want("a key that is not there", c.token("third", one), "", "invalid", 0)
	a.want("while they cannot be read", c.token("second", one), "", "", 1)
	if c.read != 2 {
		t.Errorf("the keys were read %d times", c.read)
	}
}

// exhaust sends tokens that cost a review each until there is no room for more.
func (a asking) exhaust(address string, token func() string) (reviewed int) {
	a.t.Helper()
	before := a.c.reviews
	for range 2000 {
		if _, err := a.r.Authenticate(a.t.Context(), token(), address); as[*LimitError](err) {
			return a.c.reviews - before
		}
	}
	a.t.Fatal("there is always room")
	return 0
}

func TestTokensThatNoKeySaysAnythingAbout(t *testing.T) {
	foreign := func(claims *jwt.Claims) { claims.Issuer = "https://login.example.com" }
	for name, prepare := range map[string]func(*cluster) func() string{
		"of another issuer": func(c *cluster) func() string {
			c.addKey("theirs", false)
			return func() string { return c.token("theirs", "somebody", foreign) }
		},
		"while the keys cannot be read": func(c *cluster) func() string {
			c.away = errors.New("forbidden")
			c.addKey("forged", false)
			return func() string { return c.token("forged", "", func(claims *jwt.Claims) { claims.Subject = "" }) }
		},
	} {
		t.Run(name, func(t *testing.T) {
			c, r := newCluster(t)
			a := asking{t, c, r}
			invented := prepare(c)
			known := c.token("first", one)
			a.want("before", known, "10.0.0.1", "", 1)
			if got := a.exhaust("10.0.0.1", invented); got < addressBurst-1 || got > addressBurst {
				t.Errorf("%d were reviewed for one address", got)
			}
			a.want("from another address", invented(), "10.0.0.2", "invalid", 1)
			for n := range 10 {
				a.exhaust(fmt.Sprintf("10.0.1.%d", n), invented)
			}
			c.now = c.now.Add(AnswerTTL)
			for n := range 10 {
				a.exhaust(fmt.Sprintf("10.0.2.%d", n), invented)
			}
			a.want("one that was valid within the hour", known, "10.0.0.1", "", 1)
			c.now = c.now.Add(time.Minute)
			a.want("when there is room again", invented(), "10.0.0.1", "invalid", 1)
		})
	}
}

func TestTokensOfAnotherIssuerMayBeValid(t *testing.T) {
	c, r := newCluster(t)
	a := asking{t, c, r}
	c.addKey("theirs", false)
	person := c.token("theirs", "somebody", func(claims *jwt.Claims) { claims.Issuer = "https://login.example.com" })
	c.foreign[person] = "somebody@example.com"
	a.want("a person's", person, "10.0.0.1", "", 1)
}

func TestNewTokensOfOneNamespaceAreBounded(t *testing.T) {
	c, r := newCluster(t)
	a := asking{t, c, r}
	a.want("one that is known", c.token("first", other), "", "", 1)
	known := c.token("first", one)
	a.want("one that is known", known, "", "", 1)
	if got := a.exhaust("", func() string { return c.token("first", one) }); got > namespaceBurst {
		t.Errorf("%d were reviewed", got)
	}
	a.want("of another namespace", c.token("first", other), "", "", 1)
	c.now = c.now.Add(AnswerTTL)
	a.exhaust("", func() string { return c.token("first", one) })
	a.want("one that was valid within the hour", known, "", "", 1)
}

func TestAudiences(t *testing.T) {
	of := func(audiences ...string) func(*jwt.Claims) {
		return func(claims *jwt.Claims) { claims.Audience = audiences }
	}
	for _, tt := range []struct {
		name          string
		audiences     []string
		valid         bool
		forPublishing bool
	}{
		{"the API server's own", []string{issuer}, true, false},
		{"ours alone", []string{PublishingAudience}, true, true},
		{"both", []string{PublishingAudience, issuer}, true, false},
		{"somebody else's", []string{"https://vault.example.com"}, false, false},
		{"ours and somebody else's", []string{PublishingAudience, "https://vault.example.com"}, false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, r := newCluster(t)
			who, err := r.Authenticate(t.Context(), c.token("first", one, of(tt.audiences...)), "")
			if (err == nil) != tt.valid || tt.valid && who.ForPublishing != tt.forPublishing {
				t.Errorf("%+v, %v", who, err)
			}
		})
	}
	c, r := newCluster(t)
	c.blind = true
	asking{t, c, r}.want("where nothing is known of audiences", c.token("first", one, of(PublishingAudience)), "", "invalid", 1)
}
