// SPDX-License-Identifier: Apache-2.0

package app

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/go-logr/logr"
	"go.uber.org/zap/zapcore"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
)

// setLogger makes everything log JSON lines to stderr.
func setLogger(level string) (*slog.Logger, error) {
	logger, err := newLogger(os.Stderr, level)
	if err != nil {
		return nil, err
	}
	ctrl.SetLogger(logr.FromSlogHandler(logger.Handler()))
	klog.SetLogger(logr.FromSlogHandler(logger.Handler()))
	return logger, nil
}

func newLogger(w io.Writer, level string) (*slog.Logger, error) {
	var parsed slog.Level
	if err := parsed.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("--log-level %q: use debug, info, warn or error", level)
	}
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: parsed})), nil
}

const (
	accessLogBytes = 64 << 10
	accessLogDelay = 100 * time.Millisecond
)

// newAccessLog writes lines that come by the thousand a second with few system
// calls, at most accessLogDelay late; flush writes those that are left.
func newAccessLog(level string) (logger *slog.Logger, flush func(), err error) {
	buffered := &zapcore.BufferedWriteSyncer{WS: zapcore.Lock(os.Stderr), Size: accessLogBytes, FlushInterval: accessLogDelay}
	logger, err = newLogger(buffered, level)
	return logger, func() { _ = buffered.Stop() }, err // there is no other log
}
