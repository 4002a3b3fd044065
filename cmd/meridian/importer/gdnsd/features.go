package gdnsd

import "github.com/meridian-gslb/meridian/cmd/meridian/importer"

func imported(name, title, how string) importer.Feature {
	return importer.Feature{Name: name, Title: title, Outcome: importer.Imported, How: how}
}

func mapped(name, title, how string) importer.Feature {
	return importer.Feature{Name: name, Title: title, Outcome: importer.Mapped, How: how}
}

func notMapped(name, title, why string) importer.Feature {
	return importer.Feature{Name: name, Title: title, Outcome: importer.NotMapped, How: why}
}

// Of resources.
var (
	simplefo    = imported("simplefo", "plugin simplefo", "`policy: failover`, the primary first")
	multifo     = imported("multifo", "plugin multifo", "`policy: multivalue` with as many `answers` as there are addresses, at most 32")
	weighted    = imported("weighted", "plugin weighted, one address or CNAME at a time", "`policy: weighted`")
	static      = imported("static", "plugin static", "an A, AAAA or CNAME record of the zone file")
	metafo      = imported("metafo", "plugin metafo", "`policy: failover`, the datacenters in their order")
	geoMap      = imported("geo-map", "plugin geoip with a map of places", "`policy: geo`; each order of datacenters that occurs is a pool (`policy: failover`)")
	autoCoords  = imported("auto-dc-coords", "plugin geoip with auto_dc_coords", "`policy: geoproximity`, with a region for each datacenter")
	netsFeature = imported("nets", "nets of a geoip map", "`policy: cidr` around the rest of the map")
	synthetic   = imported("synthetic", "one datacenter of a resource (resource/datacenter)", "the pool of that datacenter")
	families    = imported("families", "addrs_v4 and addrs_v6", "one pool; addresses with the same label and check are one member")

	upThreshold    = mapped("up-thresh", "up_thresh of a resource", "`min_up` in percent of the members; with too few up Meridian answers those, gdnsd all")
	weightedMulti  = mapped("weighted-multi", "plugin weighted with multi", "`policy: weighted` with as many `answers` as gdnsd gives on average; members of the greatest weight may be left out")
	weightedGroups = mapped("weighted-groups", "groups of plugin weighted", "a pool for each group, with the sum of its weights; without multi one of the group's addresses at a time, where gdnsd gives several")
	largeWeights   = mapped("large-weights", "weights over 65535", "divided, and rounded up")
	oneAtATime     = mapped("one-at-a-time", "several addresses of a datacenter", "a pool in a pool: one of them at a time, where gdnsd gives all that are up")
	ignoreHealth   = mapped("ignore-health", "ignore_health", "no check: Meridian does not fail over by addresses that it answers all the same")
	autoLimit      = mapped("auto-dc-limit", "auto_dc_limit", "Meridian goes on to the next datacenter until one has something up")
	dynamicTTL     = mapped("ttl", "TTLs of DYNA and DYNC (MAX/MIN)", "MAX, within 5 s to 24 h; Meridian does not change it with the state")
	placeless      = mapped("placeless", "addresses of which no coordinates tell where they are", "a region without a place, which is no vantage: write its coordinates")

	cnameBeside   = notMapped("cname-beside", "CNAMEs and addresses in one resource", "all members of a name have a `cname:` or none; the CNAMEs stand as comments")
	emptyList     = notMapped("empty-list", "places that are mapped to no datacenter", "they are answered as what is around them; a `fence:` of a member is the nearest that there is")
	cities        = notMapped("cities", "places of a map that are no continent, country or subdivision by ISO 3166-2", "cities, names of regions, FIPS codes and codes for unknown places have no equal")
	lostReference = notMapped("lost-reference", "resources and datacenters that are nowhere, or are themselves", "left out")
	otherPlugin   = notMapped("other-plugin", "plugins null, reflect and those of others", "left out; the name stands as a comment in the zone file")
	tooMany       = notMapped("too-many", "more than 64 members of a pool", "the others are left out")
	unusedPart    = notMapped("unused", "resources and service types that nothing uses", "left out")
	unknownKey    = notMapped("unknown", "keys that this program does not know", "left out")
)

// Of service types.
var (
	httpStatus = imported("http-status", "service type http_status", "a check of type http; without ok_codes only 200 is good")
	tcpConnect = imported("tcp-connect", "service type tcp_connect", "a check of type tcp")
	always     = imported("always", "service types up and static", "no check: always up")

	alwaysDown = mapped("always-down", "service types down, null and static in the state DOWN", "`enabled: false`; where nothing else is left Meridian answers nothing, gdnsd with what is down")
	thresholds = mapped("thresholds", "up_thresh, ok_thresh and down_thresh of a service type", "`rise` and `fall`, at most 10; ok_thresh is always 10: failures that are not consecutive are counted like that ([health.md](health.md))")

	timeout       = notMapped("timeout", "timeout of a service type", "a probe has 10 s in all, and is given up sooner where it does not connect")
	otherService  = notMapped("other-service", "service types extmon, extfile and those of others", "Meridian runs no programs; the addresses are always up until they get a check")
	otherMethod   = notMapped("method", "methods other than GET", "a probe asks by GET")
	severalChecks = notMapped("several-checks", "more than one service type of an address", "a pool has one check: the first that can be mapped")
)

// Of zones and the rest.
var (
	zoneFile    = imported("zone", "zone files", "as they are, in `zones/`, which is one of the `zone_directories`")
	includes    = imported("include", "$INCLUDE", "the records of the other file, where the directive stood")
	variables   = imported("variables", "@Z and @F", "the names that they stand for")
	defaultTTL  = imported("zones-default-ttl", "zones_default_ttl", "`$TTL` at the head of each zone file")
	dynamicName = imported("dynamic", "DYNA and DYNC", "`steer:` of the zone")
	longText    = imported("long-text", "texts of more than 255 bytes", "split, as gdnsd does")

	options   = notMapped("options", "options of the server", "they are matters of `node.yaml`: [node.md](node.md)")
	badRecord = notMapped("bad-record", "records that can't be read", "they stand as comments in the zone file")
	addrLimit = notMapped("addr-limit", "$ADDR_LIMIT_V4 and $ADDR_LIMIT_V6", "`answers` of a pool is the like")
	otherFile = notMapped("other-file", "files of djbdns, databases of places and others", "not read; node.yaml names databases of MaxMind's format (`geo:`)")
	badName   = notMapped("bad-name", "zone files whose name is no zone", "left out")
)

// Features are all that an import of gdnsd can meet, in the order of the documentation.
var Features = []importer.Feature{
	simplefo, multifo, weighted, weightedMulti, weightedGroups, largeWeights, static, metafo, geoMap, autoCoords, autoLimit, netsFeature, synthetic, families, upThreshold, oneAtATime,
	ignoreHealth, dynamicTTL, placeless, cnameBeside, emptyList, cities, lostReference, otherPlugin, tooMany, unusedPart,
	httpStatus, tcpConnect, always, alwaysDown, thresholds, timeout, severalChecks, otherMethod, otherService,
	zoneFile, includes, variables, defaultTTL, dynamicName, longText, badRecord, addrLimit, badName, options, otherFile, unknownKey,
}
