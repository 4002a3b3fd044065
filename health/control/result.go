package control

import (
	"errors"
	"fmt"
	"time"
)

// Why a command was refused.
var (
	ErrUnsafe         = errors.New("unsafe")                    // a safety rule would be broken
	ErrWait           = errors.New("too soon")                  // a rule's wait period has not passed
	ErrVersion        = errors.New("version has changed")       // controls or keys are not at the version the command expects
	ErrUnknownControl = errors.New("unknown control")           //
	ErrUnknownRule    = errors.New("unknown rule")              // an override names no rule that could bind
	ErrPanel          = errors.New("more than one panel")       // a command changes controls of one panel only
	ErrReason         = errors.New("reason missing")            //
	ErrKey            = errors.New("key used by other command") // an idempotency key stands for one command
	ErrDefinitions    = errors.New("bad definitions")           //
	ErrKeys           = errors.New("bad keys")                  // too many, or none where some must be
	ErrCommand        = errors.New("bad command")               // it does not decode, or exceeds a limit
	ErrNotVoter       = errors.New("for voters only")           // see Kind.VotersOnly
	ErrRefused        = errors.New("refused")                   // by a voter of another version, with a code unknown here
)

// A Code is the name of a refusal on the wire and on disk. Empty: not refused.
type Code string

var codes = [...]struct {
	code Code
	err  error
}{
	{"unsafe", ErrUnsafe}, {"wait", ErrWait}, {"version", ErrVersion}, {"unknown_control", ErrUnknownControl},
	{"unknown_rule", ErrUnknownRule}, {"panel", ErrPanel}, {"reason", ErrReason}, {"key", ErrKey},
	{"definitions", ErrDefinitions}, {"keys", ErrKeys}, {"command", ErrCommand}, {"not_voter", ErrNotVoter},
}

func codeOf(err error) Code {
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return "refused"
}

// A Violation is a rule that does not hold, or that must be waited for.
type Violation struct {
	Rule       string    `json:"rule"`            // as an override names it
	Needs      string    `json:"needs"`           // "at least 1 of 3 on"
	On         int       `json:"on"`              // how many are, or would be, on
	Until      time.Time `json:"until,omitzero"`  // end of the wait period, if that is the trouble
	Broken     bool      `json:"broken"`          // the assertion does not hold
	Overridden bool      `json:"overridden"`      // the command named it in its overrides
	Panel      PanelID   `json:"panel,omitempty"` // empty for a rule that is built in
}

// A Result is the outcome of a command. The zero Result is of no command. It survives JSON: Err is the same on both sides.
type Result struct {
	Epoch     uint64      `json:"epoch"`
	Index     uint64      `json:"index"` // of the entry
	Time      time.Time   `json:"time"`
	Code      Code        `json:"code,omitempty"`
	Text      string      `json:"text,omitempty"`      // what Err says after its sentinel
	Rules     []Violation `json:"rules,omitempty"`     // refused: by which; else those overridden or still broken. At most 32
	Changed   []ControlID `json:"changed,omitempty"`   // the controls that flipped, sorted
	Endpoints []string    `json:"endpoints,omitempty"` // whose overlays or latches changed, sorted
	Repeat    bool        `json:"repeat,omitempty"`    // the idempotency key was seen before: this is the first result
}

// Err is nil for a command that was applied; else it wraps one of the sentinels of this package.
func (r Result) Err() error {
	if r.Code == "" {
		return nil
	}
	sentinel := ErrRefused
	for _, c := range codes {
		if c.code == r.Code {
			sentinel = c.err
		}
	}
	if r.Text == "" {
		return sentinel
	}
	return fmt.Errorf("%w: %s", sentinel, r.Text)
}

// Refuse returns the result of a command that never reached the log.
func Refuse(err error) Result { return Result{}.refuse(err) }

func (r Result) refuse(err error) Result {
	r.Code, r.Text = codeOf(err), ""
	text := err.Error()
	if sentinel := (Result{Code: r.Code}).Err().Error() + ": "; len(text) > len(sentinel) && text[:len(sentinel)] == sentinel {
		r.Text = clip(text[len(sentinel):], maxErrorText)
	}
	return r
}
