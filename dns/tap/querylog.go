package tap

import (
	"encoding/json"
	"strconv"
	"time"

	"github.com/miekg/dns"
)

// A line is what the query log says of an answer.
type line struct {
	Time     time.Time `json:"time"`
	Protocol string    `json:"protocol"`
	Client   string    `json:"client"`
	Subnet   string    `json:"subnet,omitempty"`
	Name     string    `json:"name,omitempty"` // as in a zone file, in the query's case
	Type     string    `json:"type,omitempty"`
	Class    string    `json:"class,omitempty"` // if not IN
	RCode    string    `json:"rcode,omitempty"` // none: there was no answer
	Answers  int       `json:"answers"`
	Bytes    int       `json:"bytes"`
	Cut      bool      `json:"cut,omitempty"` // the answer was too long for a sample; Answers and Bytes are less
}

// A queryLog is a sink for a file of lines.
type queryLog struct{ file *file }

func newQueryLog(c QueryLog) (sink, error) {
	f, err := openFile(c.File, c.MaxSize, nil, nil)
	if err != nil {
		return nil, err
	}
	return queryLog{f}, nil
}

func (q queryLog) write(r *record) error {
	b, err := json.Marshal(lineOf(r))
	if err != nil {
		return err
	}
	return q.file.write(append(b, '\n'))
}

func (q queryLog) flush() error { return q.file.flush() }
func (q queryLog) close()       { q.file.close() }

// lineOf reads what it can of query and answer: they may be anything.
func lineOf(r *record) line {
	l := line{Time: r.at.UTC(), Protocol: r.protocol, Client: r.from.String(), Bytes: r.answer, Cut: r.cut}
	var query, answer dns.Msg
	_ = query.Unpack(r.queryBytes()) // what could be read before an error is kept
	if len(query.Question) > 0 {
		q := query.Question[0]
		l.Name, l.Type = q.Name, dns.Type(q.Qtype).String()
		if q.Qclass != dns.ClassINET {
			l.Class = dns.Class(q.Qclass).String()
		}
	}
	if opt := query.IsEdns0(); opt != nil {
		for _, o := range opt.Option {
			if subnet, ok := o.(*dns.EDNS0_SUBNET); ok {
				l.Subnet = subnet.String()
			}
		}
	}
	if r.answer > 0 {
		_ = answer.Unpack(r.answerBytes())
		l.RCode, l.Answers = rcodeName(answer.Rcode), len(answer.Answer)
	}
	return l
}

func rcodeName(rcode int) string {
	if rcode == dns.RcodeBadVers {
		return "BADVERS" // the library calls it BADSIG, as TSIG does
	}
	if name, ok := dns.RcodeToString[rcode]; ok {
		return name
	}
	return "RCODE" + strconv.Itoa(rcode)
}
