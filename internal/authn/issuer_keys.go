// SPDX-License-Identifier: Apache-2.0

package authn

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"golang.org/x/sync/singleflight"
)

const (
	// minKeysInterval is the shortest time between two readings of the keys; they are read
	// again when a token names an unknown key.
	minKeysInterval = 10 * time.Second
	// leeway is how much clocks may differ.
	leeway = time.Minute
	// legacyIssuer is the issuer of tokens in Secrets of type
	// kubernetes.io/service-account-token, which the same keys sign.
	legacyIssuer = "kubernetes/serviceaccount"

	configurationPath = "/.well-known/openid-configuration"
	keysPath          = "/openid/v1/jwks"
)

// algorithms are the signature algorithms that an API server, or its external signer, may
// use.
var algorithms = []jose.SignatureAlgorithm{ //nolint:gochecknoglobals // never changed
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512,
}

// issuerKeys caches the keys that sign the tokens of this cluster.
type issuerKeys struct {
	get     func(ctx context.Context, path string) ([]byte, error)
	now     func() time.Time
	metrics *Metrics

	reading singleflight.Group

	mu    sync.Mutex
	set   *issuerKeySet // nil: never read
	tried time.Time     // when the latest reading ended
}

// issuerKeySet is one reading of the keys.
type issuerKeySet struct {
	issuer string
	all    []jose.JSONWebKey
}

// checkedToken is the claims of a token, and whether a key of the cluster verifies them.
type checkedToken struct {
	jwt.Claims

	verified bool
}

// isForPublishing reports whether the token is of PublishingAudience and no other.
func (c checkedToken) isForPublishing() bool {
	return len(c.Audience) == 1 && c.Audience[0] == PublishingAudience
}

// checkToken verifies a token by the keys. *InvalidError says that it cannot be a token of this
// cluster.
func (k *issuerKeys) checkToken(ctx context.Context, token string) (checkedToken, error) {
	parsed, err := jwt.ParseSigned(token, algorithms)
	if err != nil {
		return checkedToken{}, &InvalidError{"this is no token of a ServiceAccount"}
	}
	var claims jwt.Claims
	if err := parsed.UnsafeClaimsWithoutVerification(&claims); err != nil {
		return checkedToken{}, &InvalidError{"this is no token of a ServiceAccount"}
	}
	id := parsed.Headers[0].KeyID
	set := k.current(ctx, id)
	if set == nil {
		return checkedToken{Claims: claims}, nil
	}
	if !set.verify(parsed, id) {
		if claims.Issuer == set.issuer || claims.Issuer == legacyIssuer {
			return checkedToken{}, &InvalidError{"the token is not signed by this cluster"}
		}
		return checkedToken{Claims: claims}, nil
	}
	now := k.now()
	switch {
	case claims.Expiry != nil && now.After(claims.Expiry.Time().Add(leeway)):
		return checkedToken{}, &InvalidError{"the token has expired"}
	case claims.NotBefore != nil && now.Before(claims.NotBefore.Time().Add(-leeway)):
		return checkedToken{}, &InvalidError{"the token is not valid yet"}
	}
	return checkedToken{claims, true}, nil
}

// verify reports whether one of the keys made the signature.
func (s *issuerKeySet) verify(token *jwt.JSONWebToken, id string) bool {
	for i := range s.all {
		if id != "" && s.all[i].KeyID != id {
			continue
		}
		if token.Claims(&s.all[i], new(jwt.Claims)) == nil {
			return true
		}
	}
	return false
}

func (s *issuerKeySet) contains(id string) bool {
	for i := range s.all {
		if id == "" || s.all[i].KeyID == id {
			return true
		}
	}
	return false
}

// current returns the keys, and reads them again if the key with this id is missing; nil:
// they cannot be read.
func (k *issuerKeys) current(ctx context.Context, id string) *issuerKeySet {
	k.mu.Lock()
	set, tried := k.set, k.tried
	k.mu.Unlock()
	if set != nil && set.contains(id) || k.now().Sub(tried) < minKeysInterval {
		return set
	}
	_, _, _ = k.reading.Do("", func() (any, error) { // what fails is tried again later
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reviewTimeout) // others wait for it as well
		defer cancel()
		read, err := k.read(ctx)
		k.mu.Lock()
		defer k.mu.Unlock()
		k.tried = k.now()
		if err == nil {
			k.set = read
			k.metrics.keysRead(len(read.all))
		}
		return nil, err
	})
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.set
}

func (k *issuerKeys) read(ctx context.Context) (*issuerKeySet, error) {
	var configuration struct {
		Issuer string `json:"issuer"`
	}
	var found jose.JSONWebKeySet
	for path, into := range map[string]any{configurationPath: &configuration, keysPath: &found} {
		text, err := k.get(ctx, path)
		if err != nil {
			return nil, fmt.Errorf("get %s: %w", path, err)
		}
		if err := json.Unmarshal(text, into); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
	}
	return &issuerKeySet{configuration.Issuer, found.Keys}, nil
}
