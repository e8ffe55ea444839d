// SPDX-License-Identifier: Apache-2.0

package signingsecret

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"bbmcp.quietstack.com/webhooks/api/v1alpha1"
)

// slowSecretServer is an API server with a Secret for every Webhook. It can take its time.
type slowSecretServer struct {
	client.Reader

	takes time.Duration

	mu    sync.Mutex
	value string
	reads int
}

func (s *slowSecretServer) Get(ctx context.Context, _ client.ObjectKey, object client.Object, _ ...client.GetOption) error {
	s.mu.Lock()
	s.reads++
	value := s.value
	s.mu.Unlock()
	if s.takes > 0 {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(s.takes):
		}
	}
	someSecret(func(secret *corev1.Secret) { secret.Data[v1alpha1.SecretKey] = []byte(value) }).DeepCopyInto(object.(*corev1.Secret))
	return nil
}

func (s *slowSecretServer) set(value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.value = value
}

func (s *slowSecretServer) readCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

// someWebhooks are Webhooks that sign with the same Secret.
func someWebhooks(n int) (webhooks []*v1alpha1.Webhook, uids []types.UID) {
	for i := range n {
		webhook := someWebhook(usesKeys)
		webhook.UID = types.UID(fmt.Sprintf("uid-%d", i))
		webhooks, uids = append(webhooks, webhook), append(uids, webhook.UID)
	}
	return webhooks, uids
}

const hangs = time.Hour

// TestRecentNeverWaits walks through what a first attempt finds at hand.
func TestRecentNeverWaits(t *testing.T) {
	for _, tt := range []struct {
		name  string
		age   time.Duration // since the secrets were read; 0: never
		takes time.Duration // a read
		wait  time.Duration // in Await
		want  string        // the secret, or the error
	}{
		{"fresh, and the API server hangs", 20 * time.Second, hangs, 0, oldSecret},
		{"due, and the API server hangs", 31 * time.Second, hangs, 0, oldSecret},
		{"due, and the API server is slow", 89 * time.Second, 3 * time.Second, 0, oldSecret},
		{"old, and the API server hangs", 10 * time.Minute, hangs, answerWait, oldSecret},
		{"old, and the API server answers", 10 * time.Minute, 10 * time.Millisecond, 10 * time.Millisecond, newSecret},
		{"too old, and the API server hangs", 16 * time.Minute, hangs, 2 * time.Second, ErrReading.Error()},
		{"unknown, and the API server hangs", 0, hangs, 2 * time.Second, ErrReading.Error()},
		{"unknown, and the API server answers", 0, 10 * time.Millisecond, 10 * time.Millisecond, newSecret},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const n = 100 // more than are read at a time
				api := &slowSecretServer{value: oldSecret}
				s := NewReader(api, time.Now)
				webhooks, uids := someWebhooks(n)
				if tt.age > 0 {
					for _, webhook := range webhooks {
						if _, err := s.Read(t.Context(), webhook); err != nil {
							t.Fatal(err)
						}
					}
					time.Sleep(tt.age)
				}
				api.takes = tt.takes
				api.set(newSecret)
				began := time.Now()
				var reading []types.UID
				for i, webhook := range webhooks {
					if _, err := s.Recent(webhook); errors.Is(err, ErrReading) {
						reading = append(reading, uids[i])
					}
				}
				s.AwaitReads(t.Context(), reading)
				took := time.Since(began)
				for _, webhook := range webhooks {
					secrets, err := s.Recent(webhook)
					got := secrets.Current.Reveal()
					if err != nil {
						got = err.Error()
					}
					if got != tt.want {
						t.Errorf("got %q, want %q", got, tt.want)
					}
				}
				if len(reading) != 0 && len(reading) != n || took > 2*tt.wait || took < tt.wait {
					t.Errorf("%d of %d waited, for %s; want %s, for all of them together", len(reading), n, took, tt.wait)
				}
				time.Sleep(apiTimeout) // what is read behind ends
			})
		})
	}
}

// TestRecentReadsBehind says what the next event finds.
func TestRecentReadsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := &slowSecretServer{value: oldSecret}
		s := NewReader(api, time.Now)
		webhook := someWebhook(usesKeys)
		recent := func(want string) {
			t.Helper()
			secrets, err := s.Recent(webhook)
			if got := secrets.Current.Reveal(); got != want || (err != nil) != (want == "") {
				t.Errorf("got %q, %v; want %q", got, err, want)
			}
			synctest.Wait()
		}
		recent("")
		recent(oldSecret)
		api.set(newSecret)
		time.Sleep(31 * time.Second)
		recent(oldSecret)
		recent(newSecret)
		if got := api.readCount(); got != 2 {
			t.Errorf("%d reads, want 2", got)
		}

		api.set(oldSecret)
		webhook.Annotations = map[string]string{v1alpha1.RotateRequestedAtAnnotation: "now"}
		time.Sleep(time.Second)
		recent("") // what was read before the rotation counts no more
		recent(oldSecret)

		api.takes = hangs
		time.Sleep(31 * time.Second)
		before := api.readCount()
		for range 100 {
			recent(oldSecret)
			time.Sleep(10 * time.Millisecond)
		}
		if got := api.readCount() - before; got != 1 {
			t.Errorf("%d reads within a second while the API server hangs, want 1", got)
		}

		time.Sleep(50 * time.Second)
		recent(oldSecret)
		s.Forget(webhook.UID) // while it is read
		time.Sleep(3 * time.Second)
		if got := s.Size(); got != 0 {
			t.Errorf("something is known of %d webhooks that are gone", got)
		}
	})
}
