package nodefile

import (
	"net/netip"
	"strings"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones/strict"
)

// checkListen notes addresses that go with no role, and roles that lack theirs.
func (k *nodeKeys) checkListen(roles health.Roles, known bool, report *strict.Report) {
	l := k.listen
	for _, need := range []struct {
		role health.Roles
		key  string
		at   strict.Position
	}{
		{health.RoleDNS, "dns", l.dns.Position},
		{health.RoleGateway, "gateway", l.gateway.Position},
		{health.RoleControl, "control", l.control.Position},
	} {
		role, given := need.role.Names()[0], need.at.Line != 0
		switch has := roles.Has(need.role); {
		case has && !given:
			report.Add(k.roles.Position, "roles: %s needs listen.%s", role, need.key)
		case given && !has && known:
			report.Add(need.at, "listen.%s: of no use without role %s (roles are %s)", need.key, role, strings.Join(roles.Names(), ", "))
		}
	}
	for _, l := range k.encrypted() {
		if l.at.Line != 0 && known && !roles.Has(health.RoleDNS) {
			report.Add(l.at, "listen.%s: of no use without role dns (roles are %s)", l.key, strings.Join(roles.Names(), ", "))
		}
	}
	if l.xdp.Position.Line != 0 && known && !roles.Has(health.RoleDNS) {
		report.Add(l.xdp.Position, "listen.xdp: of no use without role dns (roles are %s)", strings.Join(roles.Names(), ", "))
	}
}

// A listener is what one key of listen wants.
type listener struct {
	key       string
	addresses []netip.AddrPort
	at        strict.Position
	udp, tcp  bool
}

// encrypted are the listeners that need a certificate for clients.
func (k *nodeKeys) encrypted() []listener {
	l := k.listen
	return []listener{
		{"dot", l.dot.Value, l.dot.Position, false, true},
		{"doh", l.doh.Value, l.doh.Position, false, true},
		{"doq", l.doq.Value, l.doq.Position, true, false},
	}
}

// checkTLS notes addresses that lack a certificate, and a certificate that nobody is shown.
func (k *nodeKeys) checkTLS(roles health.Roles, known bool, report *strict.Report) {
	shown := false
	for _, l := range k.encrypted() {
		if l.at.Line == 0 {
			continue
		}
		shown = true
		if !k.tls.Given() {
			report.Add(l.at, "listen.%s: needs tls, with the files of a certificate and its key", l.key)
		}
	}
	if k.tls.Given() && !shown && known && roles.Has(health.RoleDNS) {
		report.Add(k.tls.Position, "tls: of no use without listen.dot, listen.doh or listen.doq")
	} else if k.tls.Given() && !shown && known {
		report.Add(k.tls.Position, "tls: of no use without role dns (roles are %s)", strings.Join(roles.Names(), ", "))
	}
}

// checkTaken notes addresses that two keys want for the same protocol.
func (k *nodeKeys) checkTaken(report *strict.Report) {
	l := k.listen
	listeners := append([]listener{
		{"api", []netip.AddrPort{l.api.Value}, l.api.Position, false, true}, // first, since it may be a default, which has no line
		{"dns", l.dns.Value, l.dns.Position, true, true},
		{"gossip", []netip.AddrPort{l.gossip.Value}, l.gossip.Position, true, true},
		{"control", []netip.AddrPort{l.control.Value}, l.control.Position, false, true},
		{"gateway", l.gateway.Value, l.gateway.Position, false, true},
	}, k.encrypted()...)
	takenUDP, takenTCP := make(map[netip.AddrPort]string), make(map[netip.AddrPort]string)
	for _, use := range listeners {
		for _, a := range use.addresses {
			var first string
			if use.udp {
				first = takenUDP[a]
			}
			if use.tcp && first == "" {
				first = takenTCP[a]
			}
			switch {
			case first == use.key:
				report.Add(use.at, "listen.%s: %v stands twice", use.key, a)
			case first != "":
				report.Add(use.at, "listen.%s: %v is taken by listen.%s", use.key, a, first)
			case a.IsValid():
				if use.udp {
					takenUDP[a] = use.key
				}
				if use.tcp {
					takenTCP[a] = use.key
				}
			}
		}
	}
}
