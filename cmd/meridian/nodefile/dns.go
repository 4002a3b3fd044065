package nodefile

import (
	"net/netip"

	"github.com/meridian-gslb/meridian/dns/rrl"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// A Nameserver is what the section dns says: what the nameserver tells of itself, and what it does about abuse.
type Nameserver struct {
	NSID           string
	Chaos          []ChaosText
	Cookies        bool
	BadCookie      bool
	ExtendedErrors bool
	RateMode       RateMode
	Rate           rrl.Limits
	Tap            Tap
	QueryLog       QueryLog
	Keys           string   // directory; empty: none
	TSIGKeys       []string // files
}

// A Tap is where samples go as dnstap: a socket, a file, or nowhere.
type Tap struct {
	Socket     string
	File       string
	Sample     int // one of so many answers
	MaxSizeMiB int // of the file
}

// A QueryLog is where samples go as lines of JSON; without a file, nowhere.
type QueryLog struct {
	File       string
	Sample     int
	MaxSizeMiB int
}

// A ChaosText is what a name of class CH answers.
type ChaosText struct{ Name, Text string }

// A RateMode says what becomes of answers that are too many.
type RateMode string

const (
	RateLog RateMode = "log" // they are counted and go out
	RateOn  RateMode = "on"
	RateOff RateMode = "off"
)

type dnsKeys struct {
	nsid      string
	chaos     []strict.Named[string]
	cookies   bool
	badCookie bool
	explain   bool
	rrl       rateKeys
	tap       strict.At[Tap]
	log       QueryLog
	keys      string
	tsig      []string
}

type rateKeys struct {
	mode RateMode
	rrl.Limits
}

var chaosName = strict.Enum("name", "id.server", "hostname.bind", "version.server", "version.bind")

// The defaults of rrl are those of rrl.Default; a test compares them.
var rateObject = strict.Object[rateKeys]{
	strict.Optional("mode", "what becomes of answers that are too many for one network: log counts them and sends them, on leaves them out or truncates them", "log",
		strict.Enum("mode", RateLog, RateOn, RateOff), func(r *rateKeys) *RateMode { return &r.mode }),
	strict.Optional("rate", "answers a second, and at once, to one network about one name; a resolver that sends client subnets asks once for each of them", "200",
		strict.Integer(1, 1_000_000), func(r *rateKeys) *int { return &r.Rate }),
	strict.Optional("slip", "of those over the rate each so many goes out truncated, so that a real client comes by TCP; 0: none", "2",
		strict.Integer(0, 100), func(r *rateKeys) *int { return &r.Slip }),
	strict.Optional("leak", "of those over the rate each so many goes out as it is; 0: none", "0",
		strict.Integer(0, 100), func(r *rateKeys) *int { return &r.Leak }),
	strict.Optional("ipv4", "bits of an IPv4 address that make a network", "24", strict.Integer(1, 32), func(r *rateKeys) *int { return &r.IPv4 }),
	strict.Optional("ipv6", "bits of an IPv6 address that make a network", "56", strict.Integer(1, 64), func(r *rateKeys) *int { return &r.IPv6 }),
	strict.Optional("entries", "networks and names that are watched at once, for each processor and address; 16 bytes each", "65536",
		strict.Integer(1024, 16<<20), func(r *rateKeys) *int { return &r.Entries }),
	strict.Optional("exempt", "networks that may have any number of answers", "", strict.OneOrList(strict.Prefix(), rrl.MaxExempt),
		func(r *rateKeys) *[]netip.Prefix { return &r.Exempt }),
}

var sample = strict.Integer(1, 1_000_000_000)
var maxSize = strict.Integer(1, 1<<20)

var tapObject = strict.Object[Tap]{
	strict.Optional("socket", "unix socket that a dnstap reader listens at; it is dialled again while there is none", "", path, func(t *Tap) *string { return &t.Socket }),
	strict.Optional("file", "file instead of a socket; one that is there becomes FILE.1", "", path, func(t *Tap) *string { return &t.File }),
	strict.Optional("sample", "one of so many answers, drawn at random; what a slow reader does not take is left out and counted", "100", sample, func(t *Tap) *int { return &t.Sample }),
	strict.Optional("max_size_mib", "MiB until the file becomes FILE.1", "100", maxSize, func(t *Tap) *int { return &t.MaxSizeMiB }),
}

var queryLogObject = strict.Object[QueryLog]{
	strict.Required("file", "file of lines of JSON, mode 0640", path, func(q *QueryLog) *string { return &q.File }),
	strict.Optional("sample", "one of so many answers, drawn at random", "100", sample, func(q *QueryLog) *int { return &q.Sample }),
	strict.Optional("max_size_mib", "MiB until the file becomes FILE.1", "100", maxSize, func(q *QueryLog) *int { return &q.MaxSizeMiB }),
}

var dnsObject = strict.Object[dnsKeys]{
	strict.Optional("nsid", "what the node is called to those who ask by NSID; none: its name", "", strict.Text(128), func(d *dnsKeys) *string { return &d.nsid }),
	strict.Optional("chaos", "texts of the names id.server, hostname.bind, version.server, version.bind of class CH; one that is not given is refused", "",
		strict.Map("name", chaosName, strict.Text(255), 4), func(d *dnsKeys) *[]strict.Named[string] { return &d.chaos }),
	strict.Optional("cookies", "whether DNS cookies are given and known again; their secrets are derived from the key of the mesh, so that all nodes agree", "true",
		strict.Bool(), func(d *dnsKeys) *bool { return &d.cookies }),
	strict.Optional("badcookie", "whether under load (queries queue up, or an answer was too many within a second) who knows of cookies must show a good one over UDP", "false",
		strict.Bool(), func(d *dnsKeys) *bool { return &d.badCookie }),
	strict.Optional("extended_errors", "whether steered answers say by the extended error Other (RFC 8914), for everybody to read, that all endpoints are down or that health is held for want of vantages", "false",
		strict.Bool(), func(d *dnsKeys) *bool { return &d.explain }),
	strict.Optional("rrl", "the bound on answers over UDP", "{}", rateObject.Type("a rate limit"), func(d *dnsKeys) *rateKeys { return &d.rrl }),
	strict.Optional("tap", "where samples of answers go as dnstap: a socket or a file", "", strict.Placed(tapObject.Type("a tap")),
		func(d *dnsKeys) *strict.At[Tap] { return &d.tap }),
	strict.Optional("keys", "directory with the DNSSEC keys of zones, from `meridian key make` or in BIND's format; private files have the mode 0600", "", path,
		func(d *dnsKeys) *string { return &d.keys }),
	strict.Optional("tsig_keys", "files with the keys that the world's transfers and updates name, from `meridian tsig` or as BIND has them, mode 0600; a name is in one of them", "",
		strict.OneOrList(path, maxList), func(d *dnsKeys) *[]string { return &d.tsig }),
	strict.Optional("query_log", "where samples of answers go as lines of JSON", "", queryLogObject.Type("a log"), func(d *dnsKeys) *QueryLog { return &d.log }),
}

// nameserver reads the section for a node of a name. abs makes a path absolute.
func (d *dnsKeys) nameserver(name string, abs func(string) string, report *strict.Report) Nameserver {
	n := Nameserver{
		NSID: d.nsid, Cookies: d.cookies, BadCookie: d.badCookie, ExtendedErrors: d.explain, RateMode: d.rrl.mode, Rate: d.rrl.Limits, Tap: d.tap.Value, QueryLog: d.log, Keys: abs(d.keys),
	}
	if d.tap.Given() && (n.Tap.Socket == "") == (n.Tap.File == "") {
		report.Add(d.tap.Position, "dns: tap: want a socket or a file, one of the two")
	}
	n.Tap.Socket, n.Tap.File, n.QueryLog.File = abs(n.Tap.Socket), abs(n.Tap.File), abs(n.QueryLog.File)
	for _, file := range d.tsig {
		n.TSIGKeys = append(n.TSIGKeys, abs(file))
	}
	if n.NSID == "" {
		n.NSID = name
	}
	for _, c := range d.chaos {
		n.Chaos = append(n.Chaos, ChaosText{c.Name, c.Value})
	}
	return n
}
