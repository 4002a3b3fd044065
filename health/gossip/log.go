package gossip

import (
	"context"
	"log"
	"log/slog"
	"strings"
)

// newLogger gives memberlist a logger that goes to l, and that counts the lines that say what was dropped.
func newLogger(l *slog.Logger, m *metrics) *log.Logger { return log.New(&logWriter{l, m}, "", 0) }

// a logWriter takes memberlist's lines, "[WARN] memberlist: text\n", one in each Write.
type logWriter struct {
	log     *slog.Logger
	metrics *metrics
}

// What memberlist says only in its log. Anyone can send it a packet or open a stream, so these lines are counted and not
// shown. The first that fits counts; without a reason the line before it was counted.
var droppedLines = []struct{ text, reason string }{
	{"no installed keys could decrypt the message", dropKey},
	{"Decrypt packet failed", dropKey}, // too short, or of no version of encryption
	{"remote state is not encrypted", dropKey},
	{"unacceptable label", dropLabel},
	{"label header", dropLabel},
	{"cannot decode label", dropLabel},
	{"handler queue full", dropHandoff},
	{"failed to receive", dropGarbage}, // not "Failed to": those streams were under the key
	{"Failed to send error", ""},
	{"UDP packet too short", dropGarbage},
}

var lineLevels = map[string]slog.Level{
	"[DEBUG]": slog.LevelDebug,
	"[INFO]":  slog.LevelDebug, // of what "member joined" and "member lost" say already
	"[WARN]":  slog.LevelInfo,  // refutations and other business of the protocol
	"[ERR]":   slog.LevelWarn,
	"[ERROR]": slog.LevelWarn,
}

func (w *logWriter) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	level := slog.LevelWarn
	if prefix, rest, ok := strings.Cut(text, " "); ok {
		if known, ok := lineLevels[prefix]; ok {
			level, text = known, strings.TrimPrefix(rest, "memberlist: ")
		}
	}
	for _, dropped := range droppedLines {
		if strings.Contains(text, dropped.text) {
			if dropped.reason != "" {
				w.metrics.drop(dropped.reason)
			}
			level = slog.LevelDebug
			break
		}
	}
	w.log.Log(context.Background(), level, "memberlist says", "text", text)
	return len(line), nil
}
