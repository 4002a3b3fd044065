//go:build linux

package main

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

const (
	apex       = "bench.example"
	hosts      = 1000 // static names in the zone
	steered    = 10   // names of each policy
	drawn      = 20_000
	plainRate  = 20_000 // queries a second where latency is measured
	benchTTL   = 60
	denialsFew = 250 // names that do not exist, asked again and again: so few that one network may have them all signed at once, while it asks
)

// A load is what is asked, and who is asked.
type load struct {
	name   string
	form   form
	shares []share
	peers  []string // servers beside the floor and Meridian that can do the like
	policy bool     // steered names are asked
	signed bool     // the zone has to be signed
}

// A share is so many of a hundred queries.
type share struct {
	percent int
	name    func(*rand.Rand) string // below the apex
	qtype   uint16
	want    want
}

var loads = []load{
	{name: "mix", peers: []string{"gdnsd", "knot", "nsd"},
		shares: []share{{80, hostName, typeA, positive}, {10, wildName, typeA, positive}, {10, absentName, typeA, nxdomain}}},
	{name: "geo", policy: true, form: withSubnet, peers: []string{"gdnsd", "knot"}, shares: []share{{100, ofPolicy("geo"), typeA, positive}}},
	{name: "weighted", policy: true, peers: []string{"gdnsd", "knot"}, shares: []share{{100, ofPolicy("weighted"), typeA, positive}}},
	{name: "failover", policy: true, peers: []string{"gdnsd"}, shares: []share{{100, ofPolicy("failover"), typeA, positive}}},
	{name: "latency", policy: true, form: withSubnet, peers: []string{"gdnsd"}, shares: []share{{100, ofPolicy("latency"), typeA, positive}}},
	{name: "signed", form: withDO, signed: true, peers: []string{"knot"}, shares: []share{{100, hostName, typeA, signedPositive}}},
	{name: "signed-nodata", form: withDO, signed: true, peers: []string{"knot"}, shares: []share{{100, hostName, typeAAAA, signedNodata}}},
	{name: "signed-denials", form: withDO, signed: true, peers: []string{"knot"}, shares: []share{{100, fewAbsentNames, typeA, signedDenied}}},
}

func hostName(r *rand.Rand) string       { return fmt.Sprintf("h%d", r.IntN(hosts)) }
func wildName(r *rand.Rand) string       { return letters(r, 8) + ".wild" }
func absentName(r *rand.Rand) string     { return "no" + letters(r, 8) }
func fewAbsentNames(r *rand.Rand) string { return fmt.Sprintf("no%d", r.IntN(denialsFew)) }

func ofPolicy(policy string) func(*rand.Rand) string {
	return func(r *rand.Rand) string { return fmt.Sprintf("%s%d", policy, r.IntN(steered)) }
}

func letters(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(r.IntN(26))
	}
	return string(b)
}

// draw returns the queries of a round, in random order.
func (l *load) draw(seed uint64) []query {
	r := rand.New(rand.NewPCG(seed, 0))
	queries := make([]query, 0, drawn)
	for _, s := range l.shares {
		for range drawn * s.percent / 100 {
			queries = append(queries, newQuery(s.name(r)+"."+apex, s.qtype, l.form, s.want))
		}
	}
	r.Shuffle(len(queries), func(i, j int) { queries[i], queries[j] = queries[j], queries[i] })
	return queries
}

// flood is queries for names that do not exist, none of them asked twice.
func flood(f form) []query { return []query{newQuery("?."+apex, typeA, f, denied)} }

// zoneText is the static part of the zone, the same for every server.
func zoneText() string {
	var b strings.Builder
	b.WriteString("$TTL 300\n@ SOA ns1 hostmaster 1 7200 900 1209600 60\n@ NS ns1\n@ NS ns2\nns1 A 192.0.2.53\nns2 A 192.0.2.54\n*.wild A 192.0.2.99\n")
	for i := range hosts {
		fmt.Fprintf(&b, "h%d A %s\n", i, numbered(i))
	}
	return b.String()
}

// numbered is the address of the host with a number below 2^24.
func numbered(i int) string { return fmt.Sprintf("10.%d.%d.%d", i>>16&0xff, i>>8&0xff, i&0xff) }

// eachSteered writes a line for each name of a policy.
func eachSteered(b *strings.Builder, policy, format string) {
	for i := range steered {
		fmt.Fprintf(b, format, fmt.Sprintf("%s%d", policy, i))
	}
}

// A center is a region with one endpoint, the same for every server.
type center struct {
	region, continent   string
	latitude, longitude float64
}

var centers = []center{
	{"na", "NA", 38.9, -77.0}, {"eu", "EU", 50.1, 8.7}, {"as", "AS", 1.35, 103.8}, {"oc", "OC", -33.9, 151.2}, {"sa", "SA", -23.5, -46.6},
}

// address of the endpoint: a loopback one, so that health checks reach it.
func (c center) address() string {
	for i := range centers {
		if centers[i] == c {
			return fmt.Sprintf("127.0.77.%d", i+1)
		}
	}
	panic("no such center: " + c.region)
}

// weights of the first three centers, in policy weighted.
var weights = []int{70, 20, 10}
