package host

import (
	"github.com/meridian-gslb/meridian/cmd/meridian/nodefile"
	"github.com/meridian-gslb/meridian/dns/server"
	"github.com/meridian-gslb/meridian/dns/tap"
	"github.com/meridian-gslb/meridian/dns/wire"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
)

func (h *Host) openDNS(o Options, world *zones.World) error {
	if !h.cfg.Roles.Has(health.RoleDNS) {
		return nil
	}
	n := h.cfg.Nameserver
	cfg := server.Config{
		Listen: h.cfg.DNS, TLS: h.cfg.DoT, HTTPS: h.cfg.DoH, QUIC: h.cfg.DoQ, XDP: h.cfg.XDP, Snapshot: h.snapshot.Load, Logger: h.log, Registerer: h.registry,
		UDPWorkers: o.UDPWorkers,
		Identity:   wire.Identity{NSID: []byte(n.NSID), Explain: n.ExtendedErrors}, BadCookie: n.BadCookie,
		RRL: server.RateLimit{Mode: server.RateMode(n.RateMode), Limits: n.Rate},
	}
	for _, c := range n.Chaos {
		name, err := wire.NewChaosName(c.Name, c.Text)
		if err != nil {
			return err
		}
		cfg.Identity.Chaos = append(cfg.Identity.Chaos, name)
	}
	if err := h.openTransfers(world, o.Now); err != nil {
		return err
	}
	cfg.Maintain = h.transfers.maintain
	cfg.Limits.Maintain, cfg.Limits.MaintainPerClient = maintainAtOnce, maintainPerClient
	var err error
	if n.Cookies {
		if cfg.CookieKey, err = readKey(h.cfg.GossipKey); err != nil {
			return err
		}
	}
	if h.cfg.TLS != (nodefile.TLS{}) {
		if h.certificate, err = openCertificate(h.cfg.TLS, h.log); err != nil {
			return err
		}
		h.registry.MustRegister(h.certificate.gauge())
		cfg.Certificate = h.certificate.get
	}
	if n.Tap.Socket != "" || n.Tap.File != "" || n.QueryLog.File != "" {
		if h.tap, err = tap.Start(tap.Config{
			Dnstap:   tap.Dnstap{Socket: n.Tap.Socket, File: n.Tap.File, Sample: n.Tap.Sample, MaxSize: int64(n.Tap.MaxSizeMiB) << 20},
			QueryLog: tap.QueryLog{File: n.QueryLog.File, Sample: n.QueryLog.Sample, MaxSize: int64(n.QueryLog.MaxSizeMiB) << 20},
			Identity: n.NSID, Version: "meridian " + Version(), Registerer: h.registry, Logger: h.log,
		}); err != nil {
			return err
		}
		cfg.Recorder = func() server.Recorder { return h.tap.Recorder() }
	}
	if err := h.openSigning(); err != nil {
		return err
	}
	cfg.Signing = server.Signing{Signer: h.signer, Maker: h.signer.Maker}
	h.dns, err = server.Listen(cfg)
	return err
}
