package health

import (
	"cmp"
	"slices"
	"time"
)

// A Record is one verdict of one vantage, as it travels. State Unknown withdraws an earlier record, unless its reason says that
// the vantage abstains.
type Record struct {
	Check      uint64 // CheckID.Key
	Definition uint32 // digest of the target that was probed
	State      State
	Reason     Reason
	Proven     bool   // the vantage knows that a target was up under this definition of the check
	Sequence   uint64 // of the change, in the vantage's own count
}

func (r Record) withdrawn() bool { return r.State == Unknown && !r.Reason.Abstains() }

// provenBit is that of a state's byte in messages.
const provenBit = 0x80

func (r Record) stateByte() byte {
	if r.Proven {
		return byte(r.State) | provenBit
	}
	return byte(r.State)
}

func (r Record) hash() uint64 {
	return mix64(r.Check ^ mix64(uint64(r.Definition)<<16|uint64(r.stateByte())<<8|uint64(r.Reason)) ^ mix64(r.Sequence))
}

// MaxVector is how many verdicts of one vantage a table remembers; more are dropped.
const MaxVector = 20_000

// A Batch is a part of a vantage's verdicts, or all of them.
type Batch struct {
	Origin      NodeID
	Incarnation uint64 // rises each time the vantage starts
	Sequence    uint64 // of the newest change that the batch knows of
	Full        bool   // what is not in Records and not newer than Sequence does not exist
	Records     []Record
}

// A vector is what one table knows of one vantage's verdicts. Only the vantage writes its own; (incarnation, sequence)
// decides, so batches may come in any order, twice, or by way of others.
type vector struct {
	incarnation uint64
	complete    uint64 // every record up to this sequence is known
	latest      uint64
	records     map[uint64]Record // by check; withdrawn ones newer than complete included
	digest      uint64            // XOR of the hashes of records that are not withdrawn

	heartbeat uint64    // sequence of the newest heartbeat of this incarnation
	synced    time.Time // when a heartbeat last agreed with digest; the verdicts are fresh for a while after it
	unbroken  time.Time // when heartbeats began to come without a gap
	live      bool      // synced is set in this incarnation

	heard     time.Time // the last heartbeat of any incarnation
	restarted time.Time // the first heartbeat of an incarnation after another
	back      time.Time // when it was heard again after it had not been for FreshFor
	old       uint64    // the newest verdict then: what is not newer may have been made while nobody here could tell
}

func (v *vector) reset(incarnation uint64) {
	*v = vector{incarnation: incarnation, records: make(map[uint64]Record), heard: v.heard, unbroken: v.unbroken, restarted: v.restarted, back: v.back}
}

// merge takes a batch in and returns the checks whose verdict it changed.
func (v *vector) merge(b *Batch) (changed []uint64) {
	if b.Incarnation < v.incarnation {
		return nil
	}
	if b.Incarnation > v.incarnation || v.records == nil {
		for check := range v.records {
			changed = append(changed, check)
		}
		v.reset(b.Incarnation)
	}
	for _, r := range b.Records {
		if old, ok := v.records[r.Check]; !ok && len(v.records) >= MaxVector || r.Sequence <= v.complete && !ok || ok && r.Sequence <= old.Sequence {
			continue
		}
		v.set(r)
		changed = append(changed, r.Check)
	}
	if b.Full && b.Sequence >= v.complete {
		in := make(map[uint64]bool, len(b.Records))
		for _, r := range b.Records {
			in[r.Check] = true
		}
		for check, r := range v.records {
			if !in[check] && r.Sequence <= b.Sequence {
				v.remove(check)
				changed = append(changed, check)
			}
		}
		v.complete = b.Sequence
	}
	v.latest = max(v.latest, b.Sequence)
	slices.Sort(changed)
	return slices.Compact(changed)
}

func (v *vector) set(r Record) {
	v.remove(r.Check)
	v.records[r.Check] = r
	if !r.withdrawn() {
		v.digest ^= r.hash()
	}
	v.latest = max(v.latest, r.Sequence)
}

func (v *vector) remove(check uint64) {
	if old, ok := v.records[check]; ok && !old.withdrawn() {
		v.digest ^= old.hash()
	}
	delete(v.records, check)
}

// since returns the records newer than a sequence, oldest first.
func (v *vector) since(sequence uint64) []Record {
	var records []Record
	for _, r := range v.records {
		if r.Sequence > sequence {
			records = append(records, r)
		}
	}
	slices.SortFunc(records, func(a, b Record) int { return cmp.Compare(a.Sequence, b.Sequence) })
	return records
}

// published returns the records that are not withdrawn, oldest first.
func (v *vector) published() []Record {
	return slices.DeleteFunc(v.since(0), Record.withdrawn)
}
