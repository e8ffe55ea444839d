// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// Validity of what is issued. A leaf is issued anew at every start.
const (
	authorityValidity = 10 * 365 * 24 * time.Hour
	leafValidity      = 365 * 24 * time.Hour
)

// keyPair is a certificate with its key, in PEM.
type keyPair struct{ cert, key []byte }

// write stores the pair as name.crt and name.key and returns the two paths.
func (k keyPair) write(dir, name string) (cert, key string, err error) {
	cert, key = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	if err := os.WriteFile(cert, k.cert, 0o600); err != nil {
		return "", "", err
	}
	return cert, key, os.WriteFile(key, k.key, 0o600)
}

// authority is a certificate authority of one control plane.
type authority struct {
	keyPair
	parsed *x509.Certificate
	signer *ecdsa.PrivateKey
	now    time.Time
}

// newAuthority makes a certificate authority.
func newAuthority(name string, now time.Time) (*authority, error) {
	key, keyPEM, err := newCertificateKey()
	if err != nil {
		return nil, err
	}
	template, err := newCertificateTemplate(pkix.Name{CommonName: name}, now, authorityValidity)
	if err != nil {
		return nil, err
	}
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("issue %q: %w", name, err)
	}
	return parseAuthority(keyPair{cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key: keyPEM}, now)
}

// loadAuthority reads the authority that newAuthority made for dir before, or makes it.
func loadAuthority(dir, name string, now time.Time) (*authority, error) {
	cert, certErr := os.ReadFile(filepath.Join(dir, name+".crt"))
	key, keyErr := os.ReadFile(filepath.Join(dir, name+".key"))
	if certErr == nil && keyErr == nil {
		return parseAuthority(keyPair{cert: cert, key: key}, now)
	}
	for _, err := range []error{certErr, keyErr} {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	a, err := newAuthority(name, now)
	if err != nil {
		return nil, err
	}
	_, _, err = a.write(dir, name)
	return a, err
}

func parseAuthority(pair keyPair, now time.Time) (*authority, error) {
	certBlock, _ := pem.Decode(pair.cert)
	keyBlock, _ := pem.Decode(pair.key)
	if certBlock == nil || keyBlock == nil {
		return nil, errors.New("certificate authority: no PEM block")
	}
	cert, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	key, err := x509.ParseECPrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, fmt.Errorf("certificate authority: %w", err)
	}
	return &authority{keyPair: pair, parsed: cert, signer: key, now: now}, nil
}

// client issues a certificate that authenticates a user of the API server: name and groups as RBAC sees them.
func (a *authority) client(user string, groups ...string) (keyPair, error) {
	return a.issue(pkix.Name{CommonName: user, Organization: groups}, nil, nil, x509.ExtKeyUsageClientAuth)
}

// server issues a certificate for a server on loopback with these additional names.
func (a *authority) server(name string, names ...string) (keyPair, error) {
	return a.serverAt(nil, name, names...)
}

// serverAt is server for one that is reached at more addresses.
func (a *authority) serverAt(addresses []net.IP, name string, names ...string) (keyPair, error) {
	addresses = append([]net.IP{net.IPv4(127, 0, 0, 1)}, addresses...)
	return a.issue(pkix.Name{CommonName: name}, append(names, "localhost"), addresses, x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth)
}

func (a *authority) issue(subject pkix.Name, names []string, addresses []net.IP, usages ...x509.ExtKeyUsage) (keyPair, error) {
	key, keyPEM, err := newCertificateKey()
	if err != nil {
		return keyPair{}, err
	}
	template, err := newCertificateTemplate(subject, a.now, leafValidity)
	if err != nil {
		return keyPair{}, err
	}
	template.KeyUsage, template.ExtKeyUsage = x509.KeyUsageDigitalSignature, usages
	template.DNSNames, template.IPAddresses = names, addresses
	der, err := x509.CreateCertificate(rand.Reader, template, a.parsed, key.Public(), a.signer)
	if err != nil {
		return keyPair{}, fmt.Errorf("issue %q: %w", subject.CommonName, err)
	}
	return keyPair{cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key: keyPEM}, nil
}

// issueServiceAccountKey reads the key that signs ServiceAccount tokens from path, or makes it there.
func issueServiceAccountKey(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, keyPEM, err := newCertificateKey()
	if err != nil {
		return err
	}
	return os.WriteFile(path, keyPEM, 0o600)
}

func newCertificateKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("generate key: %w", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, fmt.Errorf("encode key: %w", err)
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

func newCertificateTemplate(subject pkix.Name, now time.Time, validity time.Duration) (*x509.Certificate, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("choose serial number: %w", err)
	}
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      subject,
		NotBefore:    now.Add(-time.Minute),
		NotAfter:     now.Add(validity),
	}, nil
}
