package node

import (
	"bytes"
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/meridian-gslb/meridian/geo"
	"github.com/meridian-gslb/meridian/geo/rtt"
	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/health/control"
	"github.com/meridian-gslb/meridian/zones"
	"github.com/meridian-gslb/meridian/zones/demand"
)

var testEpoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// testWorld has one latency pool of an endpoint in each of three regions.
const testWorld = `
regions:
  eu: {coordinates: [53.3, -6.3]}
  in: {coordinates: [19.1, 72.9]}
  us: {coordinates: [39.0, -77.5]}
checks:
  api: {type: tcp, port: 443, interval: 10s}
pools:
  api:
    policy: latency
    check: api
    members:
      - {endpoint: eu1, region: eu, address: 192.0.2.20, control: eu}
      - {endpoint: in1, region: in, address: 192.0.2.30, control: in}
      - {endpoint: us1, region: us, address: 192.0.2.10, control: us}
controls:
  api: {members: [eu, in, us]}
zones:
  example.com:
    file: zone
    steer: {api: {pool: api}}
`

const testZone = "$TTL 300\n@ SOA ns1 hostmaster 1 7200 900 1209600 300\n@ NS ns1\nns1 A 192.0.2.1\n"

func testPlan(t *testing.T) *zones.Plan {
	t.Helper()
	return planOf(t, testWorld)
}

func planOf(t *testing.T, text string) *zones.Plan {
	t.Helper()
	world, err := zones.Parse(map[string][]byte{"world.yaml": []byte(text), "zone": []byte(testZone)})
	if err != nil {
		t.Fatal(err)
	}
	var places geo.Builder
	europe := geo.Place{Continent: "EU", Country: "DE", Located: true, At: geo.Coordinates{Latitude: 51, Longitude: 10}}
	if err := places.Add(netip.MustParsePrefix("5.0.0.0/8"), europe); err != nil {
		t.Fatal(err)
	}
	plan, err := world.Compile(places.Build(), rtt.New().Orders())
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// A driver is one node and its edges: what it wants done is kept for the test to look at.
type driver struct {
	*Node
	t    testing.TB
	now  time.Time
	disk map[string]Record
	out  Ready // of the last step
	seen []health.Event

	shown  *View                 // the last
	counts func() []demand.Count // what came in the epoch that ended; nil: nobody says
}

// testKey is a node's key; its signature is made of it and of the message's bytes.
func testKey(name health.NodeID) (key [32]byte) {
	copy(key[:], name)
	return key
}

func testSign(key [32]byte, message []byte) []byte {
	sum := uint32(0)
	for _, c := range append(slices.Clone(message), key[:]...) {
		sum = sum*31 + uint32(c)
	}
	return bytes.Repeat(fmt.Appendf(nil, "%08x", sum), 8)
}

func testConfig(name health.NodeID) Config {
	return Config{
		Name: name, Region: geo.RegionID(name[:2]), Roles: health.RoleDNS | health.RoleProbe | health.RoleGateway, Key: testKey(name),
		Sign: func(message []byte) []byte { return testSign(testKey(name), message) },
		Verify: func(key [32]byte, message, signature []byte) bool {
			return bytes.Equal(testSign(key, message), signature)
		},
	}
}

// start runs a node from some records. Its name begins with its region's.
func start(t testing.TB, name health.NodeID, now time.Time, saved ...Record) *driver {
	d := &driver{t: t, now: now, disk: make(map[string]Record)}
	for _, r := range saved {
		d.disk[r.Name] = r
	}
	d.Node = New(testConfig(name), saved, now)
	d.step()
	return d
}

// restart runs a new node from the disk of this one.
func (d *driver) restart() *driver {
	var saved []Record
	for _, name := range []string{RecordIncarnation, RecordControls, RecordStatuses, RecordMembers} {
		if r, ok := d.disk[name]; ok {
			saved = append(saved, r)
		}
	}
	return start(d.t, d.cfg.Name, d.now, saved...)
}

// step takes what the node wants done.
func (d *driver) step() Ready {
	d.t.Helper()
	d.out = d.Ready()
	for _, r := range d.out.Persist {
		d.disk[r.Name] = r
	}
	if !d.out.Wake.After(d.now) {
		d.t.Fatalf("Wake = %v, and it is %v", d.out.Wake, d.now)
	}
	d.seen = append(d.seen, d.out.Events...)
	if d.out.View != nil {
		d.shown = d.out.View
	}
	return d.out
}

// memberOf is a node as the mesh names it.
func memberOf(name health.NodeID) health.Member {
	return health.Member{Node: name, Region: geo.RegionID(name[:2]), Roles: health.RoleDNS | health.RoleProbe | health.RoleGateway, Key: testKey(name)}
}

func (d *driver) meet(names ...health.NodeID) {
	list := []health.Member{memberOf(d.cfg.Name)}
	for _, name := range names {
		list = append(list, memberOf(name))
	}
	d.Members(list, d.now)
	d.step()
}

// pass lets time pass, ticking when the node asked for it, and returns all messages of that time.
func (d *driver) pass(by time.Duration) (sent []health.Message) {
	end := d.now.Add(by)
	for !d.out.Wake.After(end) {
		d.now = d.out.Wake
		d.Tick(d.now)
		sent = append(sent, d.step().Messages...)
		if d.out.Count && d.counts != nil {
			d.Counted(d.counts(), d.now)
			sent = append(sent, d.step().Messages...)
		}
	}
	d.now = end
	return sent
}

// get receives messages.
func (d *driver) get(messages ...health.Message) Ready {
	for _, m := range messages {
		d.Receive(m.Bytes, d.now, d.now)
	}
	return d.step()
}

// observe ends a probe of every target of a node.
func (d *driver) observe(reason health.Reason) Ready {
	for _, a := range d.Node.voice.assigned {
		d.Observe(health.Result{Check: a.target.ID, Definition: a.definition, Reason: reason}, d.now)
	}
	return d.step()
}

// run lets time pass for several nodes, second by second, and hands each what the others send.
func run(by time.Duration, mesh ...*driver) {
	for range int(by / time.Second) {
		var sent [][]health.Message
		for _, d := range mesh {
			sent = append(sent, d.pass(time.Second))
		}
		for len(slices.Concat(sent...)) > 0 {
			answers := make([][]health.Message, len(mesh))
			for i, d := range mesh {
				for j := range mesh {
					for _, m := range sent[j] {
						if i != j && (m.To == "" || m.To == d.cfg.Name) {
							answers[i] = append(answers[i], d.get(m).Messages...)
						}
					}
				}
			}
			sent = answers
		}
	}
}

// kinds are those messages of a kind.
func kinds(messages []health.Message, kind health.MessageKind) []health.Message {
	return slices.DeleteFunc(slices.Clone(messages), func(m health.Message) bool { return m.Kind != kind })
}

func (d *driver) status(endpoint string) health.Status {
	return d.table.View().Status(health.CheckID("api/"+endpoint+"/ipv4"), health.Global)
}

// happened counts the events of a kind.
func (d *driver) happened(kind health.EventKind) (n int) {
	for _, e := range d.seen {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

func switched(t *testing.T, p *zones.Plan, name control.ControlID, on bool) *control.State {
	t.Helper()
	state, _ := control.New(1).Apply(1, control.Command{Kind: control.KindDefine, Time: testEpoch, Actor: "a", Reason: "b", Definitions: &p.World.Definitions})
	state, result := state.Apply(2, control.Command{Kind: control.KindSet, Time: testEpoch, Actor: "a", Reason: "b", Switches: []control.Switch{{Control: name, On: on}}})
	if result.Err() != nil {
		t.Fatal(result.Err())
	}
	return state
}
