package zonekeys

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/dns/dnssec"
)

// lookTime is how long a server may take for an answer.
const lookTime = 5 * time.Second

// Ask sends a question to a server and returns its answer.
type Ask func(ctx context.Context, server string, question *dns.Msg) (*dns.Msg, error)

// AskTCP asks over TCP, so that no answer is cut off and none is forged from aside. server is an address or a name, with a
// port or without.
func AskTCP(ctx context.Context, server string, question *dns.Msg) (*dns.Msg, error) {
	if _, _, err := net.SplitHostPort(server); err != nil {
		server = net.JoinHostPort(server, "53")
	}
	client := dns.Client{Net: "tcp", Timeout: lookTime}
	answer, _, err := client.ExchangeContext(ctx, question, server)
	return answer, err
}

// records asks a server for the records of a type at a zone's apex and their signatures. The server must be an authority.
func (ask Ask) records(ctx context.Context, server, zone string, rrtype uint16) (records []dns.RR, signatures []*dns.RRSIG, err error) {
	question := new(dns.Msg).SetQuestion(zone, rrtype)
	question.RecursionDesired = false
	question.SetEdns0(1232, true)
	answer, err := ask(ctx, server, question)
	if err != nil {
		return nil, nil, err
	}
	if !answer.Authoritative || answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError {
		return nil, nil, fmt.Errorf("%s %s: answers %s, authoritative: %v", zone, dns.TypeToString[rrtype],
			dns.RcodeToString[answer.Rcode], answer.Authoritative)
	}
	for _, rr := range answer.Answer {
		if sig, ok := rr.(*dns.RRSIG); ok && sig.TypeCovered == rrtype {
			signatures = append(signatures, sig)
		} else if rr.Header().Rrtype == rrtype && dns.CanonicalName(rr.Header().Name) == zone {
			records = append(records, rr)
		}
	}
	return records, signatures, nil
}

// SeenDS returns the RDATA of the DS set at a server of the parent, and its TTL in seconds. A set counts only with a signature that
// is valid at now, by a key that the same server has for the zone of the signature: without, it is none to who validates. Whether
// that key is in the chain of trust is not looked at: servers of the parent are named by address, and asked over TCP.
func (ask Ask) SeenDS(ctx context.Context, server, zone string, now time.Time) (set [][]byte, ttl uint32, err error) {
	records, signatures, err := ask.records(ctx, server, zone, dns.TypeDS)
	if err != nil || len(records) == 0 {
		return nil, 0, err
	}
	signature, err := ask.vouched(ctx, server, zone, records, signatures, now)
	if err != nil {
		return nil, 0, err
	}
	for _, rr := range records {
		set, ttl = append(set, rdata(rr)), max(ttl, rr.Header().Ttl, signature.OrigTtl)
	}
	return set, ttl, nil
}

// vouched returns the signature of a zone above over the DS records of a zone.
func (ask Ask) vouched(ctx context.Context, server, zone string, records []dns.RR, signatures []*dns.RRSIG, now time.Time) (*dns.RRSIG, error) {
	var above string
	var keys []dns.RR
	for _, s := range signatures {
		signer := dns.CanonicalName(s.SignerName)
		if !s.ValidityPeriod(now) || signer == zone || !dns.IsSubDomain(signer, zone) || above != "" && signer != above {
			continue
		}
		if above == "" {
			var err error
			if keys, _, err = ask.records(ctx, server, signer, dns.TypeDNSKEY); err != nil {
				return nil, err
			}
			above = signer
		}
		for _, rr := range keys {
			if key, ok := rr.(*dns.DNSKEY); ok && key.KeyTag() == s.KeyTag && s.Verify(key, records) == nil {
				return s, nil
			}
		}
	}
	return nil, fmt.Errorf("%s DS: %d records and no signature over them that is valid now, by a key of a zone above", zone, len(records))
}

// differs asks a nameserver how what it serves differs from a key set: it must have its DNSKEY, CDS and CDNSKEY records
// and no others, and valid signatures over them and over the SOA by all keys that sign, and by none that is not
// published. Empty: not at all. It fails where there is no answer.
func (ask Ask) differs(ctx context.Context, server, zone string, keys *dnssec.KeySet, now time.Time) (how string, err error) {
	dnskey, cds, cdnskey := keys.Sets()
	for _, want := range []struct {
		rrtype  uint16
		set     []byte
		signers []*dnssec.Key
	}{
		{dns.TypeDNSKEY, dnskey, keys.KeySigners}, {dns.TypeCDS, cds, keys.KeySigners},
		{dns.TypeCDNSKEY, cdnskey, keys.KeySigners}, {dns.TypeSOA, nil, keys.Signers},
	} {
		records, signatures, err := ask.records(ctx, server, zone, want.rrtype)
		if err != nil {
			return "", err
		}
		what := dns.TypeToString[want.rrtype]
		if own := want.rrtype != dns.TypeSOA; own && !sameRecords(records, want.set) {
			return fmt.Sprintf("%s: its %d records are not the %d of the key files", what, len(records), count(want.set)), nil
		} else if own && len(records) > 0 && records[0].Header().Ttl > keys.TTL {
			return fmt.Sprintf("%s: the TTL is %d, want at most %d (--dnskey-ttl)", what, records[0].Header().Ttl, keys.TTL), nil
		}
		if len(records) == 0 {
			continue
		}
		if how := unsigned(records, signatures, want.signers, keys.Published, now); how != "" {
			return what + ": " + how, nil
		}
	}
	return "", nil
}

// unsigned says which signer lacks a valid signature over a set, or who else signed it than published keys. Empty: all is well.
func unsigned(records []dns.RR, signatures []*dns.RRSIG, signers, published []*dnssec.Key, now time.Time) string {
	for _, k := range signers {
		i := slices.IndexFunc(signatures, func(s *dns.RRSIG) bool { return s.KeyTag == k.Tag })
		if i < 0 {
			return fmt.Sprintf("not signed by key %d", k.Tag)
		}
		public := &dns.DNSKEY{Hdr: dns.RR_Header{Name: k.Zone, Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET}, Flags: k.Flags,
			Protocol: 3, Algorithm: k.Algorithm, PublicKey: base64.StdEncoding.EncodeToString(k.Public)}
		if err := signatures[i].Verify(public, records); err != nil {
			return fmt.Sprintf("signature by key %d: %v", k.Tag, err)
		}
		if !signatures[i].ValidityPeriod(now) {
			return fmt.Sprintf("the signature by key %d is not valid now", k.Tag)
		}
	}
	for _, s := range signatures {
		if !slices.ContainsFunc(published, func(k *dnssec.Key) bool { return k.Tag == s.KeyTag }) {
			return fmt.Sprintf("signed by key %d, which is not published", s.KeyTag)
		}
	}
	return ""
}

// rdata packs a record and returns its RDATA.
func rdata(rr dns.RR) []byte {
	rr = dns.Copy(rr)
	rr.Header().Name = "."
	buffer := make([]byte, dns.Len(rr)+1)
	n, err := dns.PackRR(rr, buffer, 0, nil, false)
	if err != nil {
		return nil // it came over the wire, so it can't be
	}
	return buffer[11:n]
}

// sameRecords reports whether records are those of a set in answer form, in any order.
func sameRecords(records []dns.RR, set []byte) bool {
	var have, want [][]byte
	for _, rr := range records {
		have = append(have, rdata(rr))
	}
	for len(set) > 0 {
		end := 12 + int(set[10])<<8 + int(set[11])
		want, set = append(want, set[12:end]), set[end:]
	}
	slices.SortFunc(have, bytes.Compare)
	slices.SortFunc(want, bytes.Compare)
	return slices.EqualFunc(have, want, bytes.Equal)
}

// count returns the number of records of a set in answer form.
func count(set []byte) (n int) {
	for ; len(set) > 0; n++ {
		set = set[12+int(set[10])<<8+int(set[11]):]
	}
	return n
}
