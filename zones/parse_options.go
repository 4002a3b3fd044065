package zones

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// optionKeys are what only some types of checks have.
type optionKeys struct {
	path          strict.At[string]
	host          strict.At[string]
	serverName    strict.At[string]
	skipVerify    strict.At[bool]
	minDays       strict.At[int]
	method        strict.At[string]
	headers       strict.At[[]strict.Named[string]]
	expectStatus  strict.At[[]health.StatusRange]
	expectHeader  strict.At[[]strict.Named[string]]
	expectBody    strict.At[string]
	keepAlive     strict.At[bool]
	proxyProtocol strict.At[string]
	tls           strict.At[bool]
	service       strict.At[string]
	queryName     strict.At[string]
	queryType     strict.At[string]
	tcp           strict.At[bool]
	expectRcode   strict.At[[]string]
	expectAnswer  strict.At[[]strict.At[string]]
	command       strict.At[[]string]
}

// The most of each thing in the options of a check.
const (
	maxBodyText      = 5120 // a probe reads no more
	maxStatusRanges  = 16
	maxCheckHeaders  = 16
	maxHeaderText    = 1024
	maxExpectAnswers = 16
	maxArguments     = 32
	maxArgument      = 1024
)

var optionsObject = strict.Object[checkKeys]{
	strict.Optional("path", "http, https: request target", "/",
		strict.Placed(strict.Parsed("path", requestTarget)), func(c *checkKeys) *strict.At[string] { return &c.path }),
	strict.Optional("host", "http, https, grpc: Host header, and the name that the certificate must have if there is no server_name; without it, the probed address", "",
		strict.Placed(strict.Parsed("host name", hostName)), func(c *checkKeys) *strict.At[string] { return &c.host }),
	strict.Optional("server_name", "https, tls, grpc with tls: name that is sent by SNI and that the certificate must have, where it is not host", "",
		strict.Placed(strict.Parsed("host name", hostName)), func(c *checkKeys) *strict.At[string] { return &c.serverName }),
	strict.Optional("skip_verify", "https, tls, grpc with tls: take any certificate", "false",
		strict.Placed(strict.Bool()), func(c *checkKeys) *strict.At[bool] { return &c.skipVerify }),
	strict.Optional("min_certificate_days", "https, tls, grpc with tls: days for which the certificate must still be good; an endpoint whose certificate has fewer is down", "",
		strict.Placed(strict.Integer(1, 365)), func(c *checkKeys) *strict.At[int] { return &c.minDays }),
	strict.Optional("method", "http, https: of the request", "GET",
		strict.Placed(strict.Enum("method", "GET", "HEAD")), func(c *checkKeys) *strict.At[string] { return &c.method }),
	strict.Optional("headers", "http, https: further fields of the request", "",
		strict.Placed(strict.Map("header", headerName, headerValue, maxCheckHeaders)), func(c *checkKeys) *strict.At[[]strict.Named[string]] { return &c.headers }),
	strict.Optional("expect_status", "http, https: the status codes of a healthy endpoint; redirects are not followed", "[200-399]",
		strict.Placed(strict.NotEmpty(strict.OneOrList(strict.Parsed("status or range of them, such as 200-299", statusRange), maxStatusRanges))),
		func(c *checkKeys) *strict.At[[]health.StatusRange] { return &c.expectStatus }),
	strict.Optional("expect_header", "http, https: fields that the answer must have, all of them, with the text that must be in their value; \"\" for any value", "",
		strict.Placed(strict.NotEmpty(strict.Map("header", headerName, headerText, maxCheckHeaders))), func(c *checkKeys) *strict.At[[]strict.Named[string]] { return &c.expectHeader }),
	strict.Optional("expect_body", "http, https: text that must be in the first 5120 bytes of the body", "",
		strict.Placed(strict.Text(maxBodyText)), func(c *checkKeys) *strict.At[string] { return &c.expectBody }),
	strict.Optional("keep_alive", "http, https: keep one connection for many probes; by default each has its own, which also shows whether connections are taken", "false",
		strict.Placed(strict.Bool()), func(c *checkKeys) *strict.At[bool] { return &c.keepAlive }),
	strict.Optional("proxy_protocol", "http, https, tcp, tls, grpc: a PROXY header of that version goes before anything else", "",
		strict.Placed(strict.Enum("version of the PROXY protocol", "v1", "v2")), func(c *checkKeys) *strict.At[string] { return &c.proxyProtocol }),
	strict.Optional("tls", "grpc: over TLS, with HTTP/2 by ALPN; by default HTTP/2 begins at once", "false",
		strict.Placed(strict.Bool()), func(c *checkKeys) *strict.At[bool] { return &c.tls }),
	strict.Optional("service", "grpc: the service whose health is asked for; without it, the server as a whole", "",
		strict.Placed(strict.Text(255)), func(c *checkKeys) *strict.At[string] { return &c.service }),
	strict.Optional("query_name", "dns, required: the name that is asked for", "",
		strict.Attempted(strict.Parsed("domain name", queryName)), func(c *checkKeys) *strict.At[string] { return &c.queryName }),
	strict.Optional("query_type", "dns: the type of records that is asked for", "A",
		strict.Placed(strict.Parsed("type of records, such as A or SOA", queryType)), func(c *checkKeys) *strict.At[string] { return &c.queryType }),
	strict.Optional("tcp", "dns: ask over TCP; by default over UDP", "false",
		strict.Placed(strict.Bool()), func(c *checkKeys) *strict.At[bool] { return &c.tcp }),
	strict.Optional("expect_rcode", "dns: the response codes of a healthy endpoint", "NOERROR",
		strict.Placed(strict.NotEmpty(strict.OneOrList(strict.Enum("response code", rcodes...), len(rcodes)))), func(c *checkKeys) *strict.At[[]string] { return &c.expectRcode }),
	strict.Optional("expect_answer", "dns: data of records of the query's type, as in a zone file, of which one at least must be in the answer", "",
		strict.Placed(strict.NotEmpty(strict.OneOrList(strict.Placed(strict.Text(maxHeaderText)), maxExpectAnswers))), func(c *checkKeys) *strict.At[[]strict.At[string]] { return &c.expectAnswer }),
	strict.Optional("command", "exec, required: the absolute path of a program, and its arguments; run where a node's file permits it (probe.exec)", "",
		strict.Attempted(strict.NotEmpty(strict.List(strict.Text(maxArgument), maxArguments))), func(c *checkKeys) *strict.At[[]string] { return &c.command }),
}

var rcodes = []string{"NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED", "YXDOMAIN", "YXRRSET", "NXRRSET", "NOTAUTH", "NOTZONE"}

// options takes over what a check's type has of the options, and notes what it has not.
func (p *parser) options(entry *strict.Named[checkKeys], c *Check) {
	k := &entry.Value.optionKeys
	secure := (&health.Options{TLS: k.tls.Value}).OverTLS(c.Kind)
	is := func(kinds ...string) bool { return slices.Contains(kinds, c.Kind) }
	const onlyTLS, onlyHTTP = "https, tls and grpc with tls: true", "http and https"
	http := is(health.KindHTTP, health.KindHTTPS)
	for _, o := range []struct {
		key   string
		at    strict.Position
		has   bool
		types string
	}{
		{"port", entry.Value.port.Position, !is(health.KindICMP, KindGroup), "http, https, tcp, tls, grpc, dns and exec"},
		{"path", k.path.Position, http, onlyHTTP},
		{"host", k.host.Position, http || is(health.KindGRPC), "http, https and grpc"},
		{"server_name", k.serverName.Position, secure, onlyTLS},
		{"skip_verify", k.skipVerify.Position, secure, onlyTLS},
		{"min_certificate_days", k.minDays.Position, secure, onlyTLS},
		{"method", k.method.Position, http, onlyHTTP},
		{"headers", k.headers.Position, http, onlyHTTP},
		{"expect_status", k.expectStatus.Position, http, onlyHTTP},
		{"expect_header", k.expectHeader.Position, http, onlyHTTP},
		{"expect_body", k.expectBody.Position, http, onlyHTTP},
		{"keep_alive", k.keepAlive.Position, http, onlyHTTP},
		{"proxy_protocol", k.proxyProtocol.Position, http || is(health.KindTCP, health.KindTLS, health.KindGRPC), "http, https, tcp, tls and grpc"},
		{"tls", k.tls.Position, is(health.KindGRPC), "grpc"},
		{"service", k.service.Position, is(health.KindGRPC), "grpc"},
		{"query_name", k.queryName.Position, is(health.KindDNS), "dns"},
		{"query_type", k.queryType.Position, is(health.KindDNS), "dns"},
		{"tcp", k.tcp.Position, is(health.KindDNS), "dns"},
		{"expect_rcode", k.expectRcode.Position, is(health.KindDNS), "dns"},
		{"expect_answer", k.expectAnswer.Position, is(health.KindDNS), "dns"},
		{"command", k.command.Position, is(health.KindExec), "exec"},
	} {
		if !o.has {
			p.onlyFor(entry, o.at, o.key, o.types)
		}
	}
	switch {
	case http:
		c.Path, c.ExpectStatus, c.ExpectBody = k.path.Value, k.expectStatus.Value, k.expectBody.Value
		p.httpOptions(entry, c)
	case is(health.KindGRPC):
		c.TLS, c.Service = k.tls.Value, k.service.Value
	case is(health.KindDNS):
		p.dnsOptions(entry, c)
	case is(health.KindExec):
		p.execOptions(entry, c)
	}
	if http || is(health.KindGRPC) {
		c.Host = k.host.Value
	}
	if secure {
		c.ServerName, c.SkipVerify, c.MinCertificateDays = k.serverName.Value, k.skipVerify.Value, k.minDays.Value
	}
	c.ProxyProtocol = map[string]int{"v1": 1, "v2": 2}[k.proxyProtocol.Value]
}

// onlyFor notes a key that a check of this type has no use for.
func (p *parser) onlyFor(c *strict.Named[checkKeys], at strict.Position, key, types string) {
	if at.Line != 0 && c.Value.kind.Given() {
		p.mistakes.Add(at, "check %q: %s is only for type %s", c.Name, key, types)
	}
}

func (p *parser) httpOptions(entry *strict.Named[checkKeys], c *Check) {
	k := &entry.Value.optionKeys
	if k.method.Value != "GET" { // which is meant by none
		c.Method = k.method.Value
	}
	if c.Method == "HEAD" && k.expectBody.Given() {
		p.mistakes.Add(k.expectBody.Position, "check %q: expect_body: an answer to HEAD has no body", c.Name)
	}
	c.KeepAlive = k.keepAlive.Value
	for _, h := range k.headers.Value {
		if reservedHeaders[strings.ToLower(h.Name)] {
			p.mistakes.Add(h.Position, "check %q: headers: %s is the probe's own to set", c.Name, h.Name)
		}
		if slices.ContainsFunc(c.Headers, func(o health.Header) bool { return strings.EqualFold(o.Name, h.Name) }) {
			p.mistakes.Add(h.Position, "check %q: headers: %s stands twice", c.Name, h.Name)
		}
		c.Headers = append(c.Headers, health.Header{Name: h.Name, Value: h.Value})
	}
	for _, h := range k.expectHeader.Value {
		c.ExpectHeader = append(c.ExpectHeader, health.HeaderText{Name: h.Name, Text: h.Value})
	}
}

// reservedHeaders are those by which a request is framed, routed or understood.
var reservedHeaders = map[string]bool{
	"host": true, "connection": true, "content-length": true, "transfer-encoding": true, "te": true, "trailer": true, "upgrade": true, "expect": true, "keep-alive": true,
	"proxy-connection": true, "accept-encoding": true, "http2-settings": true,
}

func (p *parser) dnsOptions(entry *strict.Named[checkKeys], c *Check) {
	k := &entry.Value.optionKeys
	c.QueryName, c.QueryType, c.Options.TCP = k.queryName.Value, k.queryType.Value, k.tcp.Value
	if !k.queryName.Given() {
		p.mistakes.Add(entry.Position, "check %q: a dns check needs a query_name", c.Name)
	}
	if k.expectRcode.Given() {
		c.ExpectRcode = k.expectRcode.Value
	}
	if k.expectAnswer.Given() && len(c.ExpectRcode) > 0 && !slices.Contains(c.ExpectRcode, "NOERROR") {
		p.mistakes.Add(k.expectAnswer.Position, "check %q: expect_answer: an answer with the expected rcode (%s) has no such records", c.Name, strings.Join(c.ExpectRcode, ", "))
	}
	if c.QueryType == "" {
		return // a mistake already
	}
	for _, want := range k.expectAnswer.Value {
		rr, err := dns.NewRR(". 0 IN " + c.QueryType + " " + want.Value)
		if err != nil || rr == nil || rr.Header().Rrtype != dns.StringToType[c.QueryType] {
			p.mistakes.Add(want.Position, "check %q: expect_answer: %s is not the data of a record of type %s", c.Name, strict.Quote(want.Value), c.QueryType)
			continue
		}
		c.ExpectAnswer = append(c.ExpectAnswer, strings.TrimPrefix(rr.String(), rr.Header().String()))
	}
}

func (p *parser) execOptions(entry *strict.Named[checkKeys], c *Check) {
	command := entry.Value.command
	switch {
	case !command.Given():
		p.mistakes.Add(entry.Position, "check %q: an exec check needs a command", c.Name)
	case len(command.Value) > 0 && (!path.IsAbs(command.Value[0]) || path.Clean(command.Value[0]) != command.Value[0]):
		p.mistakes.Add(command.Position, "check %q: command: %s is not the absolute path of a program, such as /usr/local/lib/meridian/check-db", c.Name, strict.Quote(command.Value[0]))
	}
	c.Command = command.Value
}

// headerName is the name of a field of HTTP (RFC 9110, section 5.1).
var headerName = strict.Parsed("header name", func(text string) (string, error) {
	if text == "" || len(text) > 64 || strings.ContainsFunc(text, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	}) {
		return "", errors.New("is not the name of a header (letters, digits and hyphens, at most 64)")
	}
	return text, nil
})

var headerValue = strict.Parsed(fmt.Sprintf("text of 1 to %d printable ASCII characters", maxHeaderText), func(text string) (string, error) {
	if text == "" {
		return "", errors.New("a header needs a value")
	}
	return printable(text)
})

var headerText = strict.Parsed(fmt.Sprintf("text of at most %d printable ASCII characters", maxHeaderText), printable)

func printable(text string) (string, error) {
	if len(text) > maxHeaderText || strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r > '~' }) || strings.TrimSpace(text) != text {
		return "", fmt.Errorf("want at most %d printable ASCII characters, without spaces around them", maxHeaderText)
	}
	return text, nil
}

func queryName(text string) (string, error) {
	name := dns.Fqdn(text)
	if _, ok := dns.IsDomainName(name); !ok || text == "" || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", errors.New("is not a domain name")
	}
	return name, nil
}

// queryType takes types of which there can be records in an answer.
func queryType(text string) (string, error) {
	name := strings.ToUpper(text)
	switch t, known := dns.StringToType[name]; {
	case !known, dns.TypeToRR[t] == nil, t == dns.TypeOPT, t == dns.TypeTSIG, t == dns.TypeTKEY, t == dns.TypeANY:
		return "", errors.New("is not a type of records, such as A, AAAA, SOA or TXT")
	}
	return name, nil
}

func requestTarget(text string) (string, error) {
	if !strings.HasPrefix(text, "/") {
		return "", errors.New("a path begins with /")
	}
	if len(text) > 1024 {
		return "", errors.New("is longer than 1024 bytes")
	}
	for i := range len(text) {
		if text[i] <= ' ' || text[i] >= 0x7f || text[i] == '#' {
			return "", errors.New("a path has no spaces, control characters, # or bytes beyond ASCII (escape them as %20)")
		}
	}
	return text, nil
}

func statusRange(text string) (health.StatusRange, error) {
	low, high, isRange := strings.Cut(text, "-")
	if !isRange {
		high = low
	}
	r := health.StatusRange{}
	var errLow, errHigh error
	r.Low, errLow = strconv.Atoi(low)
	r.High, errHigh = strconv.Atoi(high)
	if errLow != nil || errHigh != nil || r.Low < 100 || r.High > 599 || r.Low > r.High {
		return r, errors.New("is not a status from 100 to 599 or range of them (200-299)")
	}
	return r, nil
}
