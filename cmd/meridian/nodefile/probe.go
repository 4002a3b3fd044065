package nodefile

import (
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// A Prober is what the section probe says: what this vantage may do to whom.
type Prober struct {
	Deny   []netip.Prefix
	Source [2]netip.Addr // IPv4, IPv6; the zero Addr: as the kernel chooses
	Exec   []string      // absolute paths
}

type probeKeys struct {
	deny   []netip.Prefix
	source []strict.At[netip.Addr]
	exec   []strict.At[string]
}

var probeObject = strict.Object[probeKeys]{
	strict.Optional("deny", "networks to which this vantage sends no probe, whatever the world says; it has no say on endpoints there", "",
		strict.OneOrList(strict.Prefix(), maxList), func(p *probeKeys) *[]netip.Prefix { return &p.deny }),
	strict.Optional("source", "addresses of this machine that probes come from, one of each family at most", "",
		strict.OneOrList(strict.Placed(strict.Address()), 2), func(p *probeKeys) *[]strict.At[netip.Addr] { return &p.source }),
	strict.Optional("exec", "programs that checks of type exec may run here, absolute paths; none: this vantage runs nothing and has no say on such checks", "",
		strict.OneOrList(strict.Placed(path), maxList), func(p *probeKeys) *[]strict.At[string] { return &p.exec }),
}

// prober reads the section.
func (k *nodeKeys) prober(roles health.Roles, known bool, report *strict.Report) (p Prober) {
	section := k.probe.Value
	if k.probe.Given() && known && !roles.Has(health.RoleProbe) {
		report.Add(k.probe.Position, "probe: of no use without role probe (roles are %s)", strings.Join(roles.Names(), ", "))
	}
	p.Deny = section.deny
	for _, source := range section.source {
		family, name := 0, "IPv4"
		if source.Value.Is6() {
			family, name = 1, "IPv6"
		}
		switch {
		case source.Value.IsUnspecified() || source.Value.IsMulticast():
			report.Add(source.Position, "probe: source: %v is not the address of a machine", source.Value)
		case p.Source[family].IsValid():
			report.Add(source.Position, "probe: source: %v and %v are both of %s, want one of each family at most", p.Source[family], source.Value, name)
		}
		p.Source[family] = source.Value
	}
	for _, program := range section.exec {
		if !filepath.IsAbs(program.Value) || filepath.Clean(program.Value) != program.Value {
			report.Add(program.Position, "probe: exec: %s is not the absolute path of a program, such as /usr/local/lib/meridian/check-db", strict.Quote(program.Value))
		}
		p.Exec = append(p.Exec, program.Value)
	}
	return p
}
