package node

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/health"
)

// Sample takes the round-trip times to clients in, as a gateway of this node measured them. Each sample is one vote of its prefix,
// however many connections it counts: no client may outvote its country.
func (n *Node) Sample(samples []rtt.Sample, now time.Time) {
	n.at(now)
	here, ok := n.here()
	if !ok {
		return
	}
	for _, s := range samples {
		s.Count = 1
		n.digest.Add(s, n.plan.Table.Place(n.plan.Table.Lookup(s.Prefix.Addr())), here, n.model.Orders(), now)
	}
}

// here is this node's region as the world has it.
func (n *Node) here() (rtt.Region, bool) {
	if n.plan == nil {
		return rtt.Region{}, false
	}
	for _, r := range n.plan.World.Regions {
		if r.ID == n.cfg.Region {
			return rtt.Region{ID: r.ID, At: r.At}, true
		}
	}
	return rtt.Region{}, false
}

// reportSamples tells every node, once a minute, what is new of what this one's gateway has measured. This node learns of it like
// the others, so that all know the same. Nodes of the version before are told of countries, before the rest: to all others that
// is old by then.
func (n *Node) reportSamples() {
	if n.now.Before(n.nextReport) {
		return
	}
	n.nextReport = n.now.Add(reportEvery)
	report := n.digest.Report(n.cfg.Region, n.now)
	if report.Len() == 0 {
		return
	}
	sequence := uint64(n.now.UnixMilli())
	old := n.digest.Countries(n.cfg.Region, n.now)
	n.send("", health.KindSamples, old.AppendOld(appendUint64(nil, n.incarnation, sequence)))
	n.send("", health.KindSamples, report.Append(appendUint64(nil, n.incarnation, sequence+1)))
	n.model.Replace(string(n.cfg.Name), report, n.now)
}

// learn has the orders of regions looked at anew in every epoch.
func (n *Node) learn() {
	if n.plan != nil && n.model.Advance(n.now) {
		n.out.Orders = n.model.Orders()
	}
}

// samples takes the report of another gateway's round-trip times in; an older one than the last is a replay.
func (n *Node) samples(origin health.NodeID, body []byte) error {
	if len(body) < 16 {
		return fmt.Errorf("%w: report of %d bytes", health.ErrMessage, len(body))
	}
	incarnation, sequence := binary.BigEndian.Uint64(body), binary.BigEndian.Uint64(body[8:])
	m := n.members[origin]
	if !m.Roles.Has(health.RoleGateway) {
		return fmt.Errorf("%w: %s is no gateway", health.ErrMessage, origin)
	}
	if origin == n.cfg.Name || incarnation < m.reportedIn || incarnation == m.reportedIn && sequence <= m.reported {
		n.dropped[droppedOld]++
		return nil
	}
	report, err := rtt.ParseReport(body[16:])
	if err != nil {
		return err
	}
	if report.Region != m.Region {
		return fmt.Errorf("%w: %s is in %s, its report says %s", health.ErrMessage, origin, m.Region, report.Region)
	}
	m.reportedIn, m.reported = incarnation, sequence
	n.model.Replace(string(origin), report, n.now)
	return nil
}

// saveSamples writes what the gateway has measured now and then, so that a restart does not forget what took days to learn.
func (n *Node) saveSamples() {
	if n.now.Before(n.nextSamples) || !n.cfg.Roles.Has(health.RoleGateway) {
		return
	}
	n.nextSamples = n.now.Add(saveSamplesEvery)
	data := []byte{savedSamples}
	for _, r := range n.digest.Saved(n.cfg.Region, n.now) {
		one := r.Append(nil)
		data = append(binary.AppendUvarint(data, uint64(len(one))), one...)
	}
	if len(data) > 1 {
		n.out.Persist = append(n.out.Persist, Record{Name: RecordSamples, Data: data})
	}
}

// savedSamples is the first byte of the record: its format.
const savedSamples = 1

var errSamples = errors.New("not a record of round-trip times")

func (n *Node) loadSamples(data []byte) error {
	if len(data) == 0 || data[0] != savedSamples {
		return errSamples
	}
	var reports []rtt.Report
	for data = data[1:]; len(data) > 0; {
		length, size := binary.Uvarint(data)
		if size <= 0 || length > uint64(len(data)-size) {
			return errSamples
		}
		r, err := rtt.ParseReport(data[size : size+int(length)])
		if err != nil {
			return err
		}
		reports, data = append(reports, r), data[size+int(length):]
	}
	for _, r := range reports {
		n.digest.Restore(r)
	}
	return nil
}
