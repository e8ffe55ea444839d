// SPDX-License-Identifier: Apache-2.0

package sink

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// Totals are what came to a class.
type Totals struct {
	// Posts counts every POST, whatever its answer.
	Posts int `json:"posts"`
	// Delivered counts unique events for each path that were answered with 2xx.
	Delivered int `json:"delivered"`
}

// control serves the control API:
//
//	GET  /ready              200
//	GET  /totals             Totals by class
//	GET  /counts?run=N       by path, how often each event of the run came
//	GET  /latencies          stats.Latency by class
//	POST /latencies/reset    forgets them
//	PUT  /classes/NAME       an Answer
func (s *Sink) control() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /ready", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /totals", func(w http.ResponseWriter, _ *http.Request) { answerControl(w, s.totals()) })
	mux.HandleFunc("GET /counts", func(w http.ResponseWriter, r *http.Request) {
		run, err := strconv.Atoi(r.URL.Query().Get("run"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answerControl(w, s.counts(run))
	})
	mux.HandleFunc("GET /latencies", func(w http.ResponseWriter, _ *http.Request) { answerControl(w, s.latencies(false)) })
	mux.HandleFunc("POST /latencies/reset", func(http.ResponseWriter, *http.Request) { s.latencies(true) })
	mux.HandleFunc("PUT /classes/{name}", func(w http.ResponseWriter, r *http.Request) {
		var a Answer
		if err := json.NewDecoder(r.Body).Decode(&a); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.classLocked(r.PathValue("name")).answer.Store(&a)
	})
	return mux
}

func answerControl(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value) // a client that has gone hears nothing
}
