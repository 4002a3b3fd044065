package route53

import (
	"net/netip"
	"strings"

	"github.com/meridian-gslb/meridian/cmd/meridian/importer"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// An input is what all files together say.
type input struct {
	zones  []hostedZone
	sets   []*recordSet
	checks map[string]*healthCheck        // by id
	blocks map[string]map[string]prefixes // by collection, empty where a listing does not name it, and location
}

// prefixes are the blocks of a CIDR location.
type prefixes = []netip.Prefix

type hostedZone struct {
	id      string // of Route 53, or in CloudFormation the resource's name; may be empty
	apex    string
	private bool
	at      strict.Position
}

// A recordSet is one of Route 53's: records of a type at a name, or one of several such by a policy.
type recordSet struct {
	at             strict.Position
	zone           string // id, apex, or empty
	name           string // fully qualified, in lower case
	kind           string // type
	id             string // SetIdentifier
	weight         *int
	region         string
	geo            *geoLocation
	proximity      *proximity
	failover       string
	multi          bool
	cidr           *cidrLocation
	ttl            *uint32
	values         []string // as in a zone file
	alias          *alias
	health         string
	policyInstance string
}

type geoLocation struct{ continent, country, subdivision string }

type proximity struct {
	region, localZone string
	at                *place
	bias              int
}

type cidrLocation struct{ collection, location string }

type alias struct {
	target   string // fully qualified, in lower case
	evaluate bool
}

// A healthCheck is one of Route 53's.
type healthCheck struct {
	at         strict.Position
	id         string
	kind       string // Type
	address    netip.Addr
	port       int
	path       string
	domain     string
	search     string
	interval   int // seconds
	threshold  int
	latency    bool
	inverted   bool
	disabled   bool
	sniOff     bool
	regions    []string
	controlARN string
	used       bool // by a record
	noted      bool // as a check
}

// policy names the routing policy of a record set; empty for simple.
func (s *recordSet) policy() string {
	switch {
	case s.weight != nil:
		return "weighted"
	case s.region != "":
		return "latency"
	case s.failover != "":
		return "failover"
	case s.geo != nil:
		return "geo"
	case s.proximity != nil:
		return "geoproximity"
	case s.cidr != nil:
		return "cidr"
	case s.multi:
		return "multivalue"
	}
	return ""
}

// subject names a record set in the report.
func (s *recordSet) subject() string {
	text := s.name + " " + s.kind
	if s.id != "" {
		text += " " + strict.Quote(s.id)
	}
	return text
}

// domain returns a name fully qualified, in lower case and with the escapes of a zone file. Route 53 writes \ooo in octal digits.
func domain(text string) (string, bool) {
	return importer.CanonicalName(decimalEscapes(text))
}

// decimalEscapes turns the octal escapes of Route 53, \ooo, into those of zone files, whose digits are decimal.
func decimalEscapes(text string) string {
	if !strings.Contains(text, `\`) {
		return text
	}
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' || i+1 == len(text) {
			b.WriteByte(text[i])
			continue
		}
		if i+3 < len(text) && isOctal(text[i+1:i+4]) {
			c := int(text[i+1]-'0')<<6 | int(text[i+2]-'0')<<3 | int(text[i+3]-'0')
			b.Write([]byte{'\\', '0' + byte(c/100), '0' + byte(c/10%10), '0' + byte(c%10)})
			i += 3
			continue
		}
		b.WriteString(text[i : i+2])
		i++
	}
	return b.String()
}

// isOctal reports whether three characters are the octal digits of a byte.
func isOctal(digits string) bool {
	return digits[0] >= '0' && digits[0] <= '3' && digits[1] >= '0' && digits[1] <= '7' && digits[2] >= '0' && digits[2] <= '7'
}
