package replica

import (
	"context"
	"io"
	"log"
	"log/slog"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
)

// quiet is how long a line of raft is not said again: it repeats its troubles every few milliseconds.
const quiet = 10 * time.Second

// A hcLogger hands raft's lines to slog. Raft's errors are warnings here, since it gets over them by
// itself; all else is for debugging, since the replica says itself what changes.
type hcLogger struct {
	log  *slog.Logger
	name string
	args []any
	said *saidLines
	over context.Context // once it is, raft's troubles are those of ending
}

type saidLines struct {
	mu   sync.Mutex
	last map[string]time.Time // raft's messages are constant, so they are few
}

func newHCLogger(over context.Context, log *slog.Logger) hclog.Logger {
	return &hcLogger{log: log, over: over, said: &saidLines{last: make(map[string]time.Time)}}
}

func (l *hcLogger) Log(level hclog.Level, msg string, args ...any) {
	to := slog.LevelDebug
	if level >= hclog.Error && l.over.Err() == nil {
		to = slog.LevelWarn
	}
	if !l.log.Enabled(context.Background(), to) {
		return
	}
	if to == slog.LevelWarn && !l.said.due(msg) {
		return
	}
	for i := range args {
		if f, ok := args[i].(hclog.Format); ok && len(f) > 0 {
			args[i] = slog.AnyValue(f[1:])
		}
		if args[i] == "error" {
			args[i] = "err"
		}
	}
	l.log.Log(context.Background(), to, "raft: "+msg, args...)
}

func (s *saidLines) due(msg string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if last, ok := s.last[msg]; ok && now.Sub(last) < quiet || len(s.last) > 1000 {
		return false
	}
	s.last[msg] = now
	return true
}

func (l *hcLogger) Trace(msg string, args ...any)  { l.Log(hclog.Trace, msg, args...) }
func (l *hcLogger) Debug(msg string, args ...any)  { l.Log(hclog.Debug, msg, args...) }
func (l *hcLogger) Info(msg string, args ...any)   { l.Log(hclog.Info, msg, args...) }
func (l *hcLogger) Warn(msg string, args ...any)   { l.Log(hclog.Warn, msg, args...) }
func (l *hcLogger) Error(msg string, args ...any)  { l.Log(hclog.Error, msg, args...) }
func (l *hcLogger) IsTrace() bool                  { return false }
func (l *hcLogger) IsDebug() bool                  { return l.log.Enabled(context.Background(), slog.LevelDebug) }
func (l *hcLogger) IsInfo() bool                   { return l.IsDebug() }
func (l *hcLogger) IsWarn() bool                   { return l.IsDebug() }
func (l *hcLogger) IsError() bool                  { return l.log.Enabled(context.Background(), slog.LevelWarn) }
func (l *hcLogger) ImpliedArgs() []any             { return l.args }
func (l *hcLogger) Name() string                   { return l.name }
func (l *hcLogger) Named(name string) hclog.Logger { return l.ResetNamed(name) }
func (l *hcLogger) SetLevel(hclog.Level)           {}
func (l *hcLogger) GetLevel() hclog.Level          { return hclog.Debug }

func (l *hcLogger) With(args ...any) hclog.Logger {
	return &hcLogger{l.log.With(args...), l.name, append(append([]any(nil), l.args...), args...), l.said, l.over}
}

func (l *hcLogger) ResetNamed(name string) hclog.Logger {
	return &hcLogger{l.log, name, l.args, l.said, l.over}
}

func (l *hcLogger) StandardLogger(*hclog.StandardLoggerOptions) *log.Logger {
	return log.New(io.Discard, "", 0) // raft does not use it
}

func (l *hcLogger) StandardWriter(*hclog.StandardLoggerOptions) io.Writer { return io.Discard }
