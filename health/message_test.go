package health

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// fakeSign is a signature that depends on every byte.
func fakeSign(message []byte) []byte {
	sum := uint64(1)
	for _, c := range message {
		sum = mix64(sum ^ uint64(c))
	}
	return bytes.Repeat([]byte(Hash64(sum).String()), 4)
}

func fakeVerify(_ NodeID, message, signature []byte) bool {
	return bytes.Equal(fakeSign(message), signature)
}

var (
	someHeartbeat = Heartbeat{Origin: "n1", Incarnation: 1, Sequence: 2, Verdicts: 3, Digest: 4, World: 5, Snapshot: 6, Epoch: 7, Index: 8, Ready: true,
		Answers: []RegionAnswers{{"eu", 1 << 40}, {"us", 0}}}
	someBatch = Batch{Origin: "n1", Incarnation: 1, Sequence: 9, Full: true, Records: []Record{
		{Check: 1 << 63, Definition: 7, State: Up, Reason: ReasonOK, Sequence: 3},
		{Check: 2, Definition: 1 << 31, State: Down, Reason: ReasonOther, Sequence: 9}}}
)

func TestMessagesComeBack(t *testing.T) {
	open := func(kind MessageKind, body []byte) []byte {
		t.Helper()
		gotKind, origin, got, err := Open(Seal(kind, "n1", body, fakeSign), fakeVerify)
		if gotKind != kind || origin != "n1" || err != nil {
			t.Fatalf("Open = %v, %s, %v, want %v, n1", gotKind, origin, err, kind)
		}
		return got
	}
	h, err := ParseHeartbeat("n1", open(KindHeartbeat, someHeartbeat.Append(nil)))
	if err != nil || fmt.Sprint(*h) != fmt.Sprint(someHeartbeat) {
		t.Errorf("ParseHeartbeat = %v, %v, want %v", h, err, someHeartbeat)
	}
	b, err := ParseBatch("n1", open(KindVerdicts, someBatch.Append(nil)))
	if err != nil || fmt.Sprint(*b) != fmt.Sprint(someBatch) {
		t.Errorf("ParseBatch = %v, %v, want %v", b, err, someBatch)
	}
	p, err := ParsePull("n1", open(KindPull, (&Pull{Of: "n2"}).Append(nil)))
	if err != nil || *p != (Pull{Origin: "n1", Of: "n2"}) {
		t.Errorf("ParsePull = %v, %v, want n2, asked by n1", p, err)
	}
}

func TestBatchNumbers(t *testing.T) {
	sealed := Seal(KindVerdicts, "n1", someBatch.Append(nil), fakeSign)
	if incarnation, sequence, ok := BatchNumbers(sealed); incarnation != 1 || sequence != 9 || !ok {
		t.Errorf("BatchNumbers = %d, %d, %v, want 1, 9", incarnation, sequence, ok)
	}
	newer := slices.Clone(sealed)
	newer[0]++
	for _, bad := range [][]byte{nil, sealed[:1], sealed[:2], sealed[:20], newer, Seal(KindHeartbeat, "n1", someHeartbeat.Append(nil), fakeSign)} {
		if _, _, ok := BatchNumbers(bad); ok {
			t.Errorf("BatchNumbers(%q) is ok", bad)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	good := Seal(KindPull, "n1", []byte("body"), fakeSign)
	changed := func(i int, to byte) []byte {
		b := slices.Clone(good)
		b[i] = to
		return b
	}
	for _, c := range []struct {
		name    string
		message []byte
		want    string
	}{
		{"nothing", nil, "0 bytes"},
		{"too short for a signature", good[:40], "40 bytes"},
		{"another version", changed(0, 2), "version 2, want 1"},
		{"no origin", Seal(KindPull, "", []byte("body"), fakeSign), "origin"},
		{"an origin longer than the message", changed(2, 200), "origin"},
		{"another origin", changed(3, 'm'), "signature is not m1's"},
		{"another kind", changed(1, byte(KindVerdicts)), "signature is not n1's"},
		{"another body", changed(6, 'x'), "signature is not n1's"},
		{"another signature", changed(len(good)-1, good[len(good)-1]+1), "signature is not n1's"},
		{"cut short", good[:len(good)-1], "signature is not n1's"},
		{"with a tail", append(slices.Clone(good), 0), "signature is not n1's"},
	} {
		if _, _, _, err := Open(c.message, fakeVerify); !errors.Is(err, ErrMessage) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Open: %v, want %q", c.name, err, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	batch, heartbeat := someBatch.Append(nil), someHeartbeat.Append(nil)
	body := func(b Batch) []byte { return b.Append(nil) }
	for _, c := range []struct {
		name  string
		parse func([]byte) error
		body  []byte
	}{
		{"an empty batch of no bytes", parseBatch, nil},
		{"a batch cut short", parseBatch, batch[:len(batch)-1]},
		{"a batch with a tail", parseBatch, append(slices.Clone(batch), 0)},
		{"a count that the bytes can't hold", parseBatch, append(slices.Clone(batch[:17]), 0xff, 0xff, 0x7f)},
		{"a state that nobody knows", parseBatch, body(Batch{Sequence: 1, Records: []Record{{State: 9, Sequence: 1}}})},
		{"a change after the batch", parseBatch, body(Batch{Sequence: 1, Records: []Record{{Sequence: 2}}})},
		{"a heartbeat cut short", parseHeartbeat, heartbeat[:len(heartbeat)-1]},
		{"a heartbeat with a tail", parseHeartbeat, append(slices.Clone(heartbeat), 0)},
		{"a pull cut short", parsePull, []byte{2, 'n'}},
		{"a pull with a tail", parsePull, []byte{1, 'n', 0}},
		{"a pull of a name too long", parsePull, append([]byte{0x80, 0x02}, make([]byte, 256)...)},
	} {
		if err := c.parse(c.body); !errors.Is(err, ErrMessage) {
			t.Errorf("%s: %v, want %v", c.name, err, ErrMessage)
		}
	}
}

func parseBatch(b []byte) error     { _, err := ParseBatch("n", b); return err }
func parseHeartbeat(b []byte) error { _, err := ParseHeartbeat("n", b); return err }
func parsePull(b []byte) error      { _, err := ParsePull("n", b); return err }

func TestSplitMessages(t *testing.T) {
	messages := [][]byte{[]byte("one"), {}, bytes.Repeat([]byte("x"), 300)}
	joined := AppendMessages(nil, messages)
	if got := SplitMessages(joined); !slices.EqualFunc(got, messages, bytes.Equal) {
		t.Errorf("SplitMessages = %q, want %q", got, messages)
	}
	if got := SplitMessages(joined[:len(joined)-1]); len(got) != 2 {
		t.Errorf("SplitMessages of what is cut short has %d messages, want 2", len(got))
	}
}

// A batch of a datagram's worth of changes fits a datagram.
func TestDatagram(t *testing.T) {
	batch := Batch{Incarnation: 1 << 41, Sequence: 1 << 20}
	for i := range uint64(55) {
		batch.Records = append(batch.Records, Record{Check: i, State: Up, Reason: ReasonOK, Sequence: 1<<20 - 55*100 + 100*(i+1)})
	}
	if n := len(Seal(KindVerdicts, NodeID(strings.Repeat("n", 100)), batch.Append(nil), fakeSign)); n > 1200 {
		t.Errorf("55 changes take %d bytes, want 1200 at most", n)
	}
}

func FuzzOpen(f *testing.F) {
	for _, body := range [][]byte{nil, someHeartbeat.Append(nil), someBatch.Append(nil)} {
		f.Add(Seal(KindHeartbeat, "n1", body, fakeSign))
	}
	f.Add(Seal(KindVerdicts, "n1", someBatch.Append(nil), fakeSign))
	f.Add([]byte{1, 1, 255})
	f.Fuzz(func(t *testing.T, message []byte) {
		incarnation, sequence, ok := BatchNumbers(message)
		kind, origin, body, err := Open(message, func(NodeID, []byte, []byte) bool { return true })
		if err != nil {
			return
		}
		again := Seal(kind, origin, body, func([]byte) []byte { return message[len(message)-signatureSize:] })
		if _, gotOrigin, gotBody, err := Open(again, func(NodeID, []byte, []byte) bool { return true }); err != nil || gotOrigin != origin || !bytes.Equal(gotBody, body) {
			t.Fatalf("Open(%x) = %s, %x, and sealed again %s, %x, %v", message, origin, body, gotOrigin, gotBody, err)
		}
		if kind != KindVerdicts {
			return
		}
		if b, err := ParseBatch(origin, body); err == nil && (!ok || incarnation != b.Incarnation || sequence != b.Sequence) {
			t.Fatalf("BatchNumbers(%x) = %d, %d, %v, want %d, %d", message, incarnation, sequence, ok, b.Incarnation, b.Sequence)
		}
	})
}

func FuzzParseBatch(f *testing.F) {
	f.Add(someBatch.Append(nil))
	f.Add((&Batch{}).Append(nil))
	f.Fuzz(func(t *testing.T, body []byte) {
		b, err := ParseBatch("n", body)
		if err != nil {
			return
		}
		again, err := ParseBatch("n", b.Append(nil))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(b) {
			t.Fatalf("ParseBatch = %v, and again %v, %v", b, again, err)
		}
		v := merged([]*Batch{b})
		if v.latest < b.Sequence {
			t.Fatalf("merge of %v knows up to %d", b, v.latest)
		}
	})
}

func FuzzParseHeartbeat(f *testing.F) {
	f.Add(someHeartbeat.Append(nil))
	f.Add((&Heartbeat{}).Append(nil))
	f.Fuzz(func(t *testing.T, body []byte) {
		h, err := ParseHeartbeat("n", body)
		if err != nil {
			return
		}
		if again, err := ParseHeartbeat("n", h.Append(nil)); err != nil || fmt.Sprint(again) != fmt.Sprint(h) {
			t.Fatalf("ParseHeartbeat = %v, and again %v, %v", h, again, err)
		}
	})
}

func FuzzSplitMessages(f *testing.F) {
	f.Add(AppendMessages(nil, [][]byte{[]byte("one"), {}, []byte("three")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		messages := SplitMessages(b)
		if again := SplitMessages(AppendMessages(nil, messages)); !slices.EqualFunc(again, messages, bytes.Equal) {
			t.Fatalf("SplitMessages(%x) = %x, and again %x", b, messages, again)
		}
	})
}
