package health

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/meridian-gslb/meridian/geo"
)

// MessageVersion is the first byte of every message. A reader takes its own version and refuses newer ones.
const MessageVersion = 1

// A MessageKind says what is in a message.
type MessageKind uint8

const (
	KindHeartbeat MessageKind = iota + 1
	KindVerdicts
	KindPull
	KindSamples
	KindServing
	KindDemand
)

var kindNames = [...]string{"", "heartbeat", "verdicts", "pull", "samples", "serving", "demand"}

func (k MessageKind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return fmt.Sprintf("kind %d", uint8(k))
}

// A Message is what one node sends another; every one is signed by its origin and can be passed on as it is.
type Message struct {
	To    NodeID // empty: every node
	Kind  MessageKind
	Bytes []byte // sealed
}

// A Heartbeat says that a node lives and what it goes by.
type Heartbeat struct {
	Origin      NodeID
	Incarnation uint64
	Sequence    uint64 // of the heartbeat
	Verdicts    uint64 // sequence of the newest verdict
	Digest      uint64 // of all its verdicts
	World       Hash64 // of the configuration
	Snapshot    Hash64 // of the answers it gives
	Epoch       uint64 // of the control state it obeys
	Index       uint64
	Ready       bool // answers queries
	Answers     []RegionAnswers
}

// RegionAnswers is how many answers a nameserver gave with endpoints of a region since it started.
type RegionAnswers struct {
	Region  geo.RegionID `json:"region"`
	Answers uint64       `json:"answers"`
}

// A Pull asks for all verdicts of a node, from that node or another that knows them.
type Pull struct {
	Origin NodeID // who asks
	Of     NodeID
}

// Limits of a message. A sender splits what is larger.
const (
	MaxRecords    = MaxVector
	maxName       = 255
	maxRegions    = 1000
	maxMessages   = 10_000 // of a push/pull
	signatureSize = 64
)

// ErrMessage is wrapped by every refusal of a message's form.
var ErrMessage = errors.New("malformed message")

// Seal makes a message of a body: version, kind and origin before it, the origin's signature behind it.
func Seal(kind MessageKind, origin NodeID, body []byte, sign func([]byte) []byte) []byte {
	b := appendString([]byte{MessageVersion, byte(kind)}, string(origin))
	b = append(b, body...)
	return append(b, sign(b)...)
}

// Open checks the form and signature of a sealed message and returns its parts. The body is not a copy.
func Open(message []byte, verify func(origin NodeID, message, signature []byte) bool) (kind MessageKind, origin NodeID, body []byte, err error) {
	if len(message) < 3+signatureSize {
		return 0, "", nil, fmt.Errorf("%w: %d bytes", ErrMessage, len(message))
	}
	if message[0] != MessageVersion {
		return 0, "", nil, fmt.Errorf("%w: version %d, want %d", ErrMessage, message[0], MessageVersion)
	}
	signed, signature := message[:len(message)-signatureSize], message[len(message)-signatureSize:]
	r := reader{b: signed[2:]}
	origin = NodeID(r.text(maxName))
	if r.bad || origin == "" {
		return 0, "", nil, fmt.Errorf("%w: origin", ErrMessage)
	}
	if !verify(origin, signed, signature) {
		return 0, "", nil, fmt.Errorf("%w: signature is not %s's", ErrMessage, origin)
	}
	return MessageKind(message[1]), origin, r.b, nil
}

// Append appends the body of the heartbeat to b.
func (h *Heartbeat) Append(b []byte) []byte {
	for _, n := range []uint64{h.Incarnation, h.Sequence, h.Verdicts, h.Digest, uint64(h.World), uint64(h.Snapshot), h.Epoch, h.Index} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	ready := byte(0)
	if h.Ready {
		ready = 1
	}
	b = binary.AppendUvarint(append(b, ready), uint64(len(h.Answers)))
	for _, a := range h.Answers {
		b = binary.AppendUvarint(appendString(b, string(a.Region)), a.Answers)
	}
	return b
}

// ParseHeartbeat reads the body of a heartbeat.
func ParseHeartbeat(origin NodeID, body []byte) (*Heartbeat, error) {
	r := reader{b: body}
	h := &Heartbeat{Origin: origin}
	h.Incarnation, h.Sequence, h.Verdicts, h.Digest = r.uint64(), r.uint64(), r.uint64(), r.uint64()
	h.World, h.Snapshot = Hash64(r.uint64()), Hash64(r.uint64())
	h.Epoch, h.Index = r.uint64(), r.uint64()
	h.Ready = r.byte() == 1
	for range r.count(maxRegions, 2) {
		h.Answers = append(h.Answers, RegionAnswers{geo.RegionID(r.text(maxName)), r.uvarint()})
	}
	return h, r.end(KindHeartbeat)
}

const recordSize = 8 + 4 + 1 + 1 // and the sequence, as a difference

// Append appends the body of the batch to b. Records must be in the order of their sequence.
func (v *Batch) Append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, v.Incarnation)
	b = binary.BigEndian.AppendUint64(b, v.Sequence)
	full := byte(0)
	if v.Full {
		full = 1
	}
	b = binary.AppendUvarint(append(b, full), uint64(len(v.Records)))
	last := uint64(0)
	for _, r := range v.Records {
		b = binary.BigEndian.AppendUint64(b, r.Check)
		b = binary.BigEndian.AppendUint32(b, r.Definition)
		b = binary.AppendUvarint(append(b, r.stateByte(), byte(r.Reason)), r.Sequence-last)
		last = r.Sequence
	}
	return b
}

// ParseBatch reads the body of a batch of verdicts.
func ParseBatch(origin NodeID, body []byte) (*Batch, error) {
	r := reader{b: body}
	v := &Batch{Origin: origin, Incarnation: r.uint64(), Sequence: r.uint64(), Full: r.byte() == 1}
	last := uint64(0)
	for range r.count(MaxRecords, recordSize+1) {
		record := Record{Check: r.uint64(), Definition: r.uint32()}
		state := r.byte()
		record.State, record.Proven, record.Reason = State(state&^provenBit), state&provenBit != 0, Reason(r.byte())
		last += r.uvarint()
		record.Sequence = last
		if int(record.State) >= len(stateNames) || last > v.Sequence {
			return nil, fmt.Errorf("%w: verdict %+v in a batch up to %d", ErrMessage, record, v.Sequence)
		}
		v.Records = append(v.Records, record)
	}
	return v, r.end(KindVerdicts)
}

// BatchNumbers says which batch of verdicts a sealed message is. It reads no further and checks no signature: it is for telling that there can be
// nothing new in it. It is not ok for what is no such message.
func BatchNumbers(message []byte) (incarnation, sequence uint64, ok bool) {
	if len(message) < 2 || message[0] != MessageVersion || MessageKind(message[1]) != KindVerdicts {
		return 0, 0, false
	}
	r := reader{b: message[2:]}
	r.text(maxName)
	incarnation, sequence = r.uint64(), r.uint64()
	return incarnation, sequence, !r.bad
}

// Append appends the body of the pull to b.
func (p *Pull) Append(b []byte) []byte { return appendString(b, string(p.Of)) }

// ParsePull reads the body of a pull.
func ParsePull(origin NodeID, body []byte) (*Pull, error) {
	r := reader{b: body}
	return &Pull{Origin: origin, Of: NodeID(r.text(maxName))}, r.end(KindPull)
}

// AppendMessages joins sealed messages for a push/pull.
func AppendMessages(b []byte, messages [][]byte) []byte {
	for _, m := range messages {
		b = append(binary.AppendUvarint(b, uint64(len(m))), m...)
	}
	return b
}

// SplitMessages parts what AppendMessages joined, up to maxMessages; from the first that can't be one on, all is left out.
func SplitMessages(b []byte) [][]byte {
	var messages [][]byte
	for r := (reader{b: b}); len(r.b) > 0 && len(messages) < maxMessages; {
		n := r.uvarint()
		if r.bad || n > uint64(len(r.b)) {
			break
		}
		messages = append(messages, slices.Clone(r.b[:n]))
		r.b = r.b[n:]
	}
	return messages
}

// A reader takes a body apart; once bad, it gives zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || len(r.b) < n {
		r.bad, r.b = true, nil
		return make([]byte, n)
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) byte() byte     { return r.take(1)[0] }
func (r *reader) uint32() uint32 { return binary.BigEndian.Uint32(r.take(4)) }
func (r *reader) uint64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

func (r *reader) uvarint() uint64 {
	n, size := binary.Uvarint(r.b)
	if r.bad || size <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

// count reads how many items follow, each of at least size bytes, so that a lie can't make us reserve memory.
func (r *reader) count(most, size int) int {
	n := r.uvarint()
	if n > uint64(most) || n > uint64(len(r.b)/size) {
		r.bad = r.bad || n > 0
		return 0
	}
	return int(n)
}

func (r *reader) text(most int) string {
	n := r.uvarint()
	if n > uint64(most) {
		r.bad = true
		return ""
	}
	return string(r.take(int(n)))
}

func (r *reader) end(kind MessageKind) error {
	if r.bad || len(r.b) > 0 {
		return fmt.Errorf("%w: %v", ErrMessage, kind)
	}
	return nil
}
