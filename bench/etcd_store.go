// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// etcdStore is etcd, through its JSON gateway.
type etcdStore struct {
	base   string
	client *http.Client
}

type etcdPut struct{ key, value string }

func (w *deployment) newEtcdStore() (*etcdStore, error) {
	base, config, err := w.stack.ControlPlane.EtcdClient()
	if err != nil {
		return nil, err
	}
	return &etcdStore{base: base, client: &http.Client{Transport: &http.Transport{TLSClientConfig: config, MaxIdleConnsPerHost: fillers}}}, nil
}

func (s *etcdStore) get(ctx context.Context, key string) (string, error) {
	var answer struct {
		KVs []struct {
			Value []byte `json:"value"`
		} `json:"kvs"`
	}
	body := fmt.Sprintf(`{"key":%q}`, base64.StdEncoding.EncodeToString([]byte(key)))
	if err := s.call(ctx, "/v3/kv/range", []byte(body), &answer); err != nil {
		return "", err
	}
	if len(answer.KVs) != 1 {
		return "", fmt.Errorf("%s is stored %d times", key, len(answer.KVs))
	}
	return string(answer.KVs[0].Value), nil
}

// put writes all in one transaction.
func (s *etcdStore) put(ctx context.Context, batch []etcdPut) error {
	var body bytes.Buffer
	body.WriteString(`{"success":[`)
	for i, one := range batch {
		if i > 0 {
			body.WriteByte(',')
		}
		fmt.Fprintf(&body, `{"requestPut":{"key":%q,"value":%q}}`,
			base64.StdEncoding.EncodeToString([]byte(one.key)), base64.StdEncoding.EncodeToString([]byte(one.value)))
	}
	body.WriteString(`]}`)
	return s.call(ctx, "/v3/kv/txn", body.Bytes(), nil)
}

func (s *etcdStore) call(ctx context.Context, path string, body []byte, into any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.base+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := s.client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("etcd %s: %s: %.300s", path, response.Status, answer)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}
