package transfer

import (
	"crypto/hmac"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/miekg/dns"
)

// fudge is how far the clocks of both ends may differ, in seconds (RFC 8945, section 10).
const fudge = 300

// Why a TSIG record is not good, beside dns.ErrTime.
var (
	errBadKey   = errors.New("the key is not known here, or not by this algorithm")
	errBadSig   = errors.New("the signature is wrong")
	errBadTrunc = errors.New("the signature is shortened")
	errTSIGForm = errors.New("the signature is misplaced or malformed")
	errUnsigned = errors.New("the answer is not signed")
)

// A hasher signs and checks for miekg/dns with the keys that it has. It serves one message or one stream.
type hasher struct {
	keys    map[string]Key // by canonical name
	prior   int            // bytes of the MAC that stands before the message, with its length
	pending [][]byte       // whole messages of a stream since the last one with a signature (RFC 8945, section 5.3.1)
}

func (h *hasher) mac(msg []byte, t *dns.TSIG) ([]byte, error) {
	key, ok := h.keys[dns.CanonicalName(t.Hdr.Name)]
	if !ok || key.Algorithm != dns.CanonicalName(t.Algorithm) {
		return nil, errBadKey
	}
	parts := [][]byte{msg[:h.prior]}
	parts = append(append(parts, h.pending...), msg[h.prior:])
	return key.mac(parts...), nil
}

// Generate makes the hasher a dns.TsigProvider.
func (h *hasher) Generate(msg []byte, t *dns.TSIG) ([]byte, error) { return h.mac(msg, t) }

// Verify makes the hasher a dns.TsigProvider. A shortened MAC is told from a wrong one (RFC 8945, section 5.2.2.1).
func (h *hasher) Verify(msg []byte, t *dns.TSIG) error {
	want, err := h.mac(msg, t)
	if err != nil {
		return err
	}
	got, err := hex.DecodeString(t.MAC)
	switch {
	case err != nil || len(got) > len(want) || len(got) < max(10, len(want)/2):
		return errTSIGForm
	case !hmac.Equal(got, want[:len(got)]):
		return errBadSig
	case len(got) < len(want):
		return errBadTrunc
	}
	return nil
}

// tsigOf returns the TSIG record of a message, nil without one. There is at most one, as the last record of the
// message, of class ANY and TTL 0 (RFC 8945, sections 4.2 and 5.1).
func tsigOf(m *dns.Msg) (*dns.TSIG, error) {
	t := m.IsTsig()
	n := 0
	for _, section := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range section {
			if rr.Header().Rrtype == dns.TypeTSIG {
				n++
			}
		}
	}
	if n > 1 || n == 1 && (t == nil || t.Hdr.Class != dns.ClassANY || t.Hdr.Ttl != 0) {
		return nil, errTSIGForm
	}
	return t, nil
}

// A signature is what one end knows of a signed exchange: with it answers are signed. Its zero value signs nothing.
type signature struct {
	key   Key
	query *dns.TSIG // of the message that is answered
	code  uint16    // the error of the TSIG record in answers
	mac   string    // of the message before, in hex
	later bool      // that was an answer too
}

// checkQuery verifies the signature of a query, if it has one. A good one says the key; every error is dns.ErrTime or
// one from above, and the signature then says how to answer it.
func checkQuery(raw []byte, m *dns.Msg, keys map[string]Key) (*signature, error) {
	t, err := tsigOf(m)
	if err != nil || t == nil {
		return &signature{}, err
	}
	// miekg/dns changes what it verifies.
	err = dns.TsigVerifyWithProvider(append([]byte(nil), raw...), &hasher{keys: keys}, "", false)
	s := &signature{key: keys[dns.CanonicalName(t.Hdr.Name)], query: t, mac: t.MAC}
	switch {
	case errors.Is(err, errBadKey):
		s.code, s.key = dns.RcodeBadKey, Key{}
	case errors.Is(err, errBadSig):
		s.code = dns.RcodeBadSig
	case errors.Is(err, dns.ErrTime):
		s.code = dns.RcodeBadTime
	case errors.Is(err, errBadTrunc):
		s.code = dns.RcodeBadTrunc
	case err != nil:
		return &signature{}, errTSIGForm
	}
	return s, err
}

// pack packs an answer and signs it as the query was signed.
func (s *signature) pack(m *dns.Msg, now time.Time) ([]byte, error) {
	if s.query == nil {
		return m.Pack()
	}
	if s.code == dns.RcodeBadKey || s.code == dns.RcodeBadSig {
		packed, err := m.Pack()
		if err != nil {
			return nil, err
		}
		return s.attach(packed, now)
	}
	m.SetTsig(s.query.Hdr.Name, s.query.Algorithm, fudge, now.Unix())
	t := m.IsTsig()
	t.Error = s.code
	if s.code == dns.RcodeBadTime { // the client's time, and ours beside it (RFC 8945, section 5.2.3)
		t.TimeSigned, t.OtherLen, t.OtherData = s.query.TimeSigned, 6, fmt.Sprintf("%012x", now.Unix())
	}
	return s.sign(m)
}

// size is how many bytes attach adds to a good answer: what the query's signature has, without the data that an error may have.
func (s *signature) size() int {
	t := *s.query
	t.OtherLen, t.OtherData = 0, ""
	return dns.Len(&t)
}

// attach appends the TSIG record to a packed answer of one message. It has no MAC where the query had a wrong one, but our time: clients
// look at that first (RFC 8945, sections 4.3.3 and 5.3.2).
func (s *signature) attach(answer []byte, now time.Time) ([]byte, error) {
	t := &dns.TSIG{
		Hdr:       dns.RR_Header{Name: s.query.Hdr.Name, Rrtype: dns.TypeTSIG, Class: dns.ClassANY},
		Algorithm: s.query.Algorithm, TimeSigned: uint64(now.Unix()), Fudge: fudge, OrigId: binary.BigEndian.Uint16(answer), Error: s.code,
	}
	if s.code == dns.RcodeSuccess {
		variables, err := variablesOf(t)
		if err != nil {
			return nil, err
		}
		request, err := hex.DecodeString(s.mac)
		if err != nil {
			return nil, err
		}
		mac := s.key.mac(binary.BigEndian.AppendUint16(nil, uint16(len(request))), request, answer, variables)
		t.MAC, t.MACSize = hex.EncodeToString(mac), uint16(len(mac))
	}
	signed := append(answer, make([]byte, dns.Len(t))...)
	end, err := dns.PackRR(t, signed, len(answer), nil, false)
	if err != nil {
		return nil, err
	}
	binary.BigEndian.PutUint16(signed[10:], binary.BigEndian.Uint16(signed[10:])+1) // ARCOUNT
	return signed[:end], nil
}

// variablesOf returns what of a TSIG record is signed with the message (RFC 8945, section 4.3.3).
func variablesOf(t *dns.TSIG) ([]byte, error) {
	var name [255]byte
	n, err := dns.PackDomainName(dns.CanonicalName(t.Hdr.Name), name[:], 0, nil, false)
	if err != nil {
		return nil, err
	}
	b := append([]byte(nil), name[:n]...)
	b = append(b, 0, dns.ClassANY, 0, 0, 0, 0)
	if n, err = dns.PackDomainName(dns.CanonicalName(t.Algorithm), name[:], 0, nil, false); err != nil {
		return nil, err
	}
	b = append(b, name[:n]...)
	b = binary.BigEndian.AppendUint64(b, t.TimeSigned<<16|uint64(t.Fudge)) // 48 and 16 bits
	return append(b, byte(t.Error>>8), byte(t.Error), 0, 0), nil           // no other data
}

func (s *signature) sign(m *dns.Msg) ([]byte, error) {
	packed, mac, err := dns.TsigGenerateWithProvider(m, &hasher{keys: map[string]Key{s.key.Name: s.key}}, s.mac, s.later)
	if err != nil {
		return nil, err
	}
	s.mac, s.later = mac, true
	return packed, nil
}

// signQuery packs a query and signs it if there is a key; the signature then checks the answers.
func signQuery(m *dns.Msg, key Key, now time.Time) ([]byte, *signature, error) {
	if key.Name == "" {
		packed, err := m.Pack()
		return packed, nil, err
	}
	m.SetTsig(key.Name, key.Algorithm, fudge, now.Unix())
	s := &signature{key: key}
	packed, err := s.sign(m)
	s.later = false // what comes next is a first answer
	return packed, s, err
}

// mostUnsigned is how many messages of a stream may pass between two with a signature (RFC 8945, section 5.3.1).
const mostUnsigned = 99

// A verifier checks the answers to one signed query, in the order in which they come. Nil checks nothing.
type verifier struct {
	signature
	pending [][]byte
}

func (s *signature) verifier() *verifier {
	if s == nil {
		return nil
	}
	return &verifier{signature: *s}
}

// check verifies the next message of the answer. It may be one without a signature, if a later one has it: done says
// whether all that came so far is verified.
func (v *verifier) check(raw []byte, m *dns.Msg) (done bool, err error) {
	if v == nil {
		return true, nil
	}
	t, err := tsigOf(m)
	if err != nil {
		return false, err
	}
	if t == nil {
		if !v.later || len(v.pending) == mostUnsigned {
			return false, errUnsigned
		}
		v.pending = append(v.pending, raw)
		return false, nil
	}
	if t.Error != dns.RcodeSuccess {
		return false, fmt.Errorf("signature refused: %s", dns.RcodeToString[int(t.Error)])
	}
	if dns.CanonicalName(t.Hdr.Name) != v.key.Name {
		return false, errBadKey
	}
	h := &hasher{keys: map[string]Key{v.key.Name: v.key}, prior: 2 + len(v.mac)/2, pending: v.pending}
	if err := dns.TsigVerifyWithProvider(append([]byte(nil), raw...), h, v.mac, v.later); err != nil {
		return false, err
	}
	v.mac, v.later, v.pending = t.MAC, true, nil
	return true, nil
}
