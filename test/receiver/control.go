// SPDX-License-Identifier: Apache-2.0

package receiver

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// control returns the API for those who run the receiver as a process:
//
//	GET    /_received            counts, in all and per path; ?path=/x adds that path's posts
//	DELETE /_received            forget them
//	PUT    /_script?path=/x      body: a script as in ParseScript
//	PUT    /_secrets?path=/x     body: one secret a line
func (r *Receiver) control() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /_received", func(w http.ResponseWriter, request *http.Request) {
		said := struct {
			Total Counts            `json:"total"`
			Paths map[string]Counts `json:"paths"`
			Posts []Received        `json:"posts,omitempty"`
		}{Total: r.Counts(""), Paths: r.Paths()}
		if path := request.URL.Query().Get("path"); path != "" {
			said.Posts = r.Received(path)
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(said)
	})
	mux.HandleFunc("DELETE /_received", func(w http.ResponseWriter, _ *http.Request) {
		r.Forget()
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("PUT /_script", controlWithBody(func(path, body string) error {
		steps, err := ParseScript(body)
		if err == nil {
			r.Script(path, steps...)
		}
		return err
	}))
	mux.HandleFunc("PUT /_secrets", controlWithBody(func(path, body string) error {
		return r.Secrets(path, strings.Split(strings.Trim(body, "\n"), "\n")...)
	}))
	return mux
}

func controlWithBody(set func(path, body string) error) http.HandlerFunc {
	return func(w http.ResponseWriter, request *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, request.Body, 64<<10))
		if err == nil {
			err = set(request.URL.Query().Get("path"), string(body))
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}
