package replica

import (
	"context"
	"io"
	"log"
	"log/slog"
	"strings"

	"github.com/hashicorp/go-hclog"
)

// logger routes hclog into slog, one level lower than its author meant, and what concerns a single connection to the
// debug level: a peer that does not answer is everyday life here, and Raft says so many times a second.
type logger struct {
	hclog.Logger // a silent one, for the methods that need no routing
	to           *slog.Logger
}

func newLogger(to *slog.Logger) hclog.Logger {
	return &logger{Logger: hclog.NewNullLogger(), to: to.With("part", "raft")}
}

func (l *logger) Log(level hclog.Level, msg string, args ...any) {
	to := slog.LevelDebug
	switch level {
	case hclog.Error:
		if !everyday(msg) {
			to = slog.LevelWarn
		}
	case hclog.Warn:
		to = slog.LevelInfo
	case hclog.Info:
	default:
		return
	}
	l.to.Log(context.Background(), to, msg, args...)
}

// everyday reports whether an error of Raft is about one connection only.
func everyday(msg string) bool {
	for _, prefix := range []string{"failed to heartbeat", "failed to appendEntries", "failed to decode incoming", "failed to flush",
		"failed to make requestVote", "failed to make requestPreVote", "failed to pipeline", "failed to start pipeline",
		"failed to contact", "failed to send snapshot", "failed to accept"} {
		if strings.HasPrefix(msg, prefix) {
			return true
		}
	}
	return false
}

func (l *logger) Trace(msg string, args ...any) {}
func (l *logger) Debug(msg string, args ...any) {}
func (l *logger) Info(msg string, args ...any)  { l.Log(hclog.Info, msg, args...) }
func (l *logger) Warn(msg string, args ...any)  { l.Log(hclog.Warn, msg, args...) }
func (l *logger) Error(msg string, args ...any) { l.Log(hclog.Error, msg, args...) }

func (l *logger) IsInfo() bool  { return true }
func (l *logger) IsWarn() bool  { return true }
func (l *logger) IsError() bool { return true }

func (l *logger) With(args ...any) hclog.Logger {
	return &logger{Logger: l.Logger, to: l.to.With(args...)}
}
func (l *logger) Named(name string) hclog.Logger      { return l }
func (l *logger) ResetNamed(name string) hclog.Logger { return l }

func (l *logger) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return slog.NewLogLogger(l.to.Handler(), slog.LevelDebug)
}
func (l *logger) StandardWriter(*hclog.StandardLoggerOptions) io.Writer { return io.Discard }
