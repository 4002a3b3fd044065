package health

import "encoding/json"

// Further kinds of probe.
const (
	KindTLS  = "tls"
	KindGRPC = "grpc"
	KindDNS  = "dns"
	KindICMP = "icmp"
	KindExec = "exec"
)

// Options are what only some kinds of probe have. The zero value is the default of each; it is copied and compared as JSON, and its
// slices are not written to.
type Options struct {
	// http, https
	Method       string       `json:"method,omitempty"`        // GET or HEAD; empty: GET
	Headers      []Header     `json:"headers,omitempty"`       // of the request, beside those that every probe sends
	ExpectHeader []HeaderText `json:"expect_header,omitempty"` // all of them must be in the answer
	KeepAlive    bool         `json:"keep_alive,omitempty"`    // one connection for many probes

	// https, tls, grpc with TLS
	MinCertificateDays int `json:"min_certificate_days,omitempty"` // that must be left; 0: any that is valid

	// http, https, tcp, tls, grpc
	ProxyProtocol int `json:"proxy_protocol,omitempty"` // the version of the PROXY header that goes first: 1 or 2; 0: none

	// grpc
	TLS     bool   `json:"tls,omitempty"`
	Service string `json:"service,omitempty"` // whose health is asked for; empty: the server's

	// dns
	QueryName    string   `json:"query_name,omitempty"` // fully qualified
	QueryType    string   `json:"query_type,omitempty"`
	TCP          bool     `json:"tcp,omitempty"`
	ExpectRcode  []string `json:"expect_rcode,omitempty"`  // any of them; none: NOERROR
	ExpectAnswer []string `json:"expect_answer,omitempty"` // data of records, as the library writes it, of which one must be in the answer; none: any

	// exec
	Command []string `json:"command,omitempty"` // absolute path of a program, and its arguments
}

// A Header is a field of a request.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

func (h Header) String() string { return h.Name + ": " + h.Value }

// A HeaderText is a field that an answer must have, with a text in its value; an empty one is in every value.
type HeaderText struct {
	Name string `json:"name"`
	Text string `json:"text,omitempty"`
}

func (h HeaderText) String() string {
	if h.Text == "" {
		return h.Name
	}
	return h.Name + ": " + h.Text
}

// appendTo adds to a digest's input what is not the default. So a check without options has the digest that it had before there were any,
// and an option that is new some day changes nothing for checks without it: verdicts go on counting while nodes are upgraded.
func (o *Options) appendTo(b []byte) []byte {
	text, err := json.Marshal(o)
	if err != nil {
		panic("health: options: " + err.Error()) // strings and numbers only
	}
	if string(text) == "{}" {
		return b
	}
	return append(append(b, ' '), text...)
}

// OverTLS reports whether probes of a kind with these options make a TLS handshake.
func (o *Options) OverTLS(kind string) bool {
	return kind == KindHTTPS || kind == KindTLS || kind == KindGRPC && o.TLS
}

// SpeaksTLS reports whether probes of a target make a TLS handshake.
func (t *Target) SpeaksTLS() bool { return t.OverTLS(t.Kind) }
