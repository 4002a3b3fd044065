package health

import (
	"encoding/json"
	"time"
)

// Evidence is what an event about a check rests on: of a status the votes, of this vantage's verdict the probes. It is
// immutable, and shares its slices with the status that it was made of.
type Evidence struct {
	Before State     `json:"before"`
	After  State     `json:"after"`
	Since  time.Time `json:"since,omitzero"` // when Before began; zero: not known

	// Of a status.
	Measured State       `json:"measured,omitzero"`
	Quorum   Quorum      `json:"quorum,omitzero"` // zero: the default
	Held     bool        `json:"held,omitempty"`
	Hold     Hold        `json:"hold,omitempty"`
	HeldBack bool        `json:"held_back,omitempty"`
	Damped   bool        `json:"damped,omitempty"`
	Shadow   bool        `json:"shadow,omitempty"`
	Assigned int         `json:"assigned,omitempty"`
	Fresh    int         `json:"fresh,omitempty"`
	Regions  []Vote      `json:"regions,omitempty"`
	Terms    []TermState `json:"terms,omitempty"`

	// Of a verdict: how the last probes ended, in that order.
	Attempts []Attempt `json:"attempts,omitempty"`
}

// EvidenceOf is what a status rests on that was another one before.
func EvidenceOf(was, is Status) *Evidence {
	return &Evidence{Before: was.State, After: is.State, Since: was.Since, Measured: is.Measured, Quorum: is.Quorum, Held: is.Held, Hold: is.Hold,
		HeldBack: is.HeldBack, Damped: is.Damped, Shadow: is.Shadow, Assigned: is.Assigned, Fresh: is.Fresh, Regions: is.Regions, Terms: is.Terms}
}

// An Attempt is one probe as it is remembered. A time that was not reached is 0.
type Attempt struct {
	Start     time.Time
	Reason    Reason
	Detail    string
	Connect   time.Duration
	TLS       time.Duration
	FirstByte time.Duration
	Total     time.Duration
}

// AttemptOf is what is remembered of a result.
func AttemptOf(r *Result) Attempt {
	return Attempt{r.Start, r.Reason, r.Detail, r.Connect, r.TLS, r.FirstByte, r.Total}
}

// An attemptText is an Attempt in JSON: lengths of time are seconds.
type attemptText struct {
	Start     time.Time `json:"start"`
	Reason    Reason    `json:"reason"`
	Detail    string    `json:"detail,omitempty"`
	Connect   float64   `json:"connect_seconds,omitempty"`
	TLS       float64   `json:"tls_seconds,omitempty"`
	FirstByte float64   `json:"first_byte_seconds,omitempty"`
	Total     float64   `json:"total_seconds"`
}

// MarshalJSON rounds to microseconds.
func (a Attempt) MarshalJSON() ([]byte, error) {
	seconds := func(d time.Duration) float64 { return float64(d.Round(time.Microsecond)) / float64(time.Second) }
	return json.Marshal(attemptText{a.Start, a.Reason, a.Detail, seconds(a.Connect), seconds(a.TLS), seconds(a.FirstByte), seconds(a.Total)})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (a *Attempt) UnmarshalJSON(text []byte) error {
	var j attemptText
	if err := json.Unmarshal(text, &j); err != nil {
		return err
	}
	length := func(seconds float64) time.Duration {
		return time.Duration(seconds * float64(time.Second)).Round(time.Microsecond)
	}
	*a = Attempt{j.Start, j.Reason, j.Detail, length(j.Connect), length(j.TLS), length(j.FirstByte), length(j.Total)}
	return nil
}

// UnmarshalText reads what MarshalText wrote.
func (q *Quorum) UnmarshalText(text []byte) (err error) {
	*q, err = ParseQuorum(string(text))
	return err
}

// UnmarshalText reads the name of a reason. One that only a newer version knows is other.
func (r *Reason) UnmarshalText(text []byte) error {
	*r = ReasonOther
	for i, name := range reasonNames {
		if name == string(text) {
			*r = Reason(i)
		}
	}
	return nil
}

// Events that only the journal on disk has: what it does not know, it says.
const (
	EventStarted EventKind = "started" // the node
	EventStopped EventKind = "stopped" // the node; after a crash that is written at the next start
	EventGap     EventKind = "gap"     // events that were not written down
)

// EventKinds are the kinds of events that a journal can have.
var EventKinds = [...]EventKind{
	EventVerdict, EventStatus, EventHeld, EventMass, EventFreeze, EventAbstain, EventDissent, EventReach, EventRung, EventSpill, EventControl, EventEndpoint, EventLatch, EventConfig, EventMember, EventMesh, EventDropped,
	EventZone, EventRecovered, EventKeys, EventClock, EventStarted, EventStopped, EventGap,
}
