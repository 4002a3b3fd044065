package route53

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

// Of records.
var (
	simple      = imported("simple", "simple records", "records of the zone file")
	weighted    = imported("weighted", "weighted records", "`policy: weighted`; weight 0 is standby, as in Route 53")
	failover    = imported("failover", "failover records", "`policy: failover`, the primary first")
	geolocation = imported("geolocation", "geolocation records", "`policy: geo`; records with the same data and health check become one member")
	multivalue  = imported("multivalue", "multivalue answer records", "`policy: multivalue`: up to 8 that are up, in any order")
	cidr        = imported("cidr", "IP-based records", "`policy: cidr` with the blocks of the location; the location `*` is `default: true`")
	aliasRecord = imported("alias", "alias of a record of the zone", "the name is steered by the same pool, or has the same static records")
	aliasMember = imported("alias-member", "alias of a record of the zone, with a routing policy", "the pool of that record is the member (`pool:`)")
	families    = imported("families", "the same policy for A and AAAA of a name", "one pool, whose members have an address of each family, each probed by itself")

	latency        = mapped("latency", "latency records", "`policy: latency`, with the AWS region as region; Meridian goes by the round-trip times that its own gateways measure and until there are some by distance")
	geoproximity   = mapped("geoproximity", "geoproximity records", "`policy: geoproximity` with the AWS region or the coordinates as region, and the bias; Route 53 does not tell how its bias weighs, so borders may differ")
	localZone      = mapped("local-zone", "geoproximity to an AWS Local Zone", "the coordinates are those of the region that it belongs to")
	withoutDefault = mapped("without-default", "geolocation or IP-based records without a default", "clients from elsewhere get no answer, as from Route 53; a `fence:` of one member says that it is meant")
	noDefault      = mapped("no-default", "IP-based records without a default, with no blocks in the input", "the first member becomes the default, until you write prefixes")
	severalValues  = mapped("several-values", "several values in a record with a policy", "a pool of its own (`policy: multivalue`), which is the member; Route 53 gives all values at once, Meridian one of those that are up at a time")
	aliasBlind     = mapped("alias-blind", "alias with EvaluateTargetHealth false", "Meridian passes a pool over that has no member up; Route 53 answers with it all the same")
	aliasService   = mapped("alias-service", "alias of an AWS service (load balancer, CloudFront, S3, …), below the apex", "a CNAME record, or members with `cname:`; clients get the alias and resolve it, which Route 53 does for them")
	aliasFamily    = mapped("alias-family", "alias for A or AAAA alone of a name that has both", "the name is steered by the same pool and answers both")
	ttlRange       = mapped("ttl", "TTL of a steered name under 5 s or over a day, or TTLs that differ", "the nearest that Meridian allows; the least of those that differ")
	placeless      = mapped("placeless", "records whose policy knows no region", "every endpoint is in one: `unplaced`, which is no vantage, unless an alias target's name tells its region")
	apexRecords    = mapped("apex", "NS and SOA of the zone", "kept as they are, and they name Route 53's servers: write your own")
	newZone        = mapped("new-zone", "a zone without NS and SOA in the input", "made up: write your own")
	privateZone    = mapped("private", "private hosted zones", "Meridian answers everybody who asks: serve it where only those can who may")
	simpleBeside   = mapped("simple-beside", "a simple A or AAAA record beside a policy for the other family", "its address is one of every member, so it is given with the member's health")

	cidrUnknown   = notMapped("cidr-unknown", "blocks of a CIDR location that is not in the input", "give the output of `aws route53 list-cidr-blocks`, or the CloudFormation template of the collection")
	otherTypes    = notMapped("other-types", "policies of types other than A, AAAA, CNAME, MX and SRV", "Meridian steers these only; the records stand as comments in the zone file")
	secondType    = notMapped("second-type", "a second policy at a name, for another type, or other addresses beside one", "a name is steered by one pool; the records stand as comments in the zone file")
	aliasApex     = notMapped("alias-apex", "alias of an AWS service at the apex or beside other records", "a CNAME can't stand there (RFC 1034): steer the name to addresses, or give it an HTTPS record in AliasMode")
	serviceHealth = notMapped("service-health", "EvaluateTargetHealth of an AWS service", "Meridian asks no AWS service: a member with `cname:` needs a check and `probe:`, an address to probe")
	aliasMixed    = notMapped("alias-mixed", "alias of an AWS service beside addresses in one policy", "all members of a name have a `cname:` or none")
	aliasLost     = notMapped("alias-lost", "alias whose target is not in the input, or is itself", "there is nothing to answer with")
	aliasHealth   = notMapped("alias-health", "a health check of an alias", "a member that is a pool is up by its members; probe those")
	trafficPolicy = notMapped("traffic-policy", "records of a traffic policy", "the listing does not hold the policy: `aws route53 get-traffic-policy` does")
	unreadable    = notMapped("unreadable", "records whose data can't be read", "they stand as comments in the zone file")
	outside       = notMapped("outside", "records of no zone of the input", "give the output of `list-hosted-zones`, or of `list-resource-record-sets` with the zone's SOA record")
	tooMany       = notMapped("too-many", "more than 64 members of a pool", "the others stand as comments")
	badPolicy     = notMapped("bad-policy", "records of a name whose policies differ or are incomplete", "Route 53 takes no such thing; the records stand as comments in the zone file")
)

// Of health checks.
var (
	endpointCheck = imported("check", "health checks by HTTP, HTTPS and TCP", "`checks:`; the states 2xx and 3xx are good, as in Route 53")
	searchString  = imported("search-string", "string matching", "`expect_body`, within the first 5120 bytes, as in Route 53")
	interval      = imported("interval", "RequestInterval", "`interval`")
	otherAddress  = imported("probe", "health check of another address than the record's", "`probe:` of the member")
	disabled      = imported("disabled", "disabled health checks", "no check: the members are always up, as in Route 53")

	threshold       = mapped("threshold", "FailureThreshold", "`fall` and `rise` alike; `hold_down` is 0s, as Route 53 has none (30s is what Meridian does by itself)")
	domainCheck     = mapped("domain", "health check of a domain name", "the member's own address is probed, with that name as `host`; Route 53 probes whatever address the name has")
	certificate     = mapped("certificate", "certificates of HTTPS health checks", "`skip_verify: true`, as Route 53 does not look at them; take it out to have them verified")
	hostPort        = mapped("host-port", "the port in the Host header of checks at other ports than 80 and 443", "`host` has no port")
	recoveryControl = mapped("recovery-control", "routing controls (RECOVERY_CONTROL)", "a routing control in the panel `recovery`, which starts on; safety rules are not in the input")

	sniOff         = notMapped("sni-off", "EnableSNI false", "a probe with `host` sends it by SNI too")
	inverted       = notMapped("inverted", "inverted health checks", "Meridian has none; the members are always up until they get a check")
	calculated     = notMapped("calculated", "calculated health checks", "a check is of endpoints; the members are always up until they get one")
	cloudwatch     = notMapped("cloudwatch", "health checks of CloudWatch alarms", "Meridian asks no AWS service; the members are always up until they get a check")
	checkLost      = notMapped("check-lost", "health checks that are not in the input", "give the output of `aws route53 list-health-checks`; the members are always up until they get a check")
	checkUnusable  = notMapped("check-unusable", "health checks that say what Meridian can't", "the members are always up until they get a check")
	checkless      = notMapped("check-name", "health check without an IP address, of a CNAME, MX or SRV record", "a member without address needs `probe:`, the address to probe; it is always up until it gets both")
	measureLatency = notMapped("measure-latency", "MeasureLatency", "the dashboard shows what probes took in any case")
	checkerRegions = notMapped("checker-regions", "regions of health checkers", "nodes with the role probe do it, wherever they run")
	unusedCheck    = notMapped("unused", "health checks that no record has", "left out")
	comments       = notMapped("descriptions", "tags, comments and query logging", "write comments into the world's files; docs/operation.md tells of the query log")
)

// Of the input itself.
var (
	parameter = mapped("parameter", "CloudFormation parameters with a default", "their default")
	condition = mapped("condition", "CloudFormation resources with a condition", "imported whether it holds or not")

	intrinsic     = notMapped("function", "CloudFormation functions and references that only a stack can resolve", "what needs them is left out; write the values")
	otherResource = notMapped("resource", "CloudFormation resources of other types", "not a matter of DNS records and their health")
	otherRoute53  = notMapped("route53-resource", "other resources of Route 53 (DNSSEC, key-signing keys, query logging, …)", "see docs/dnssec.md for keys: Meridian makes its own")
	cut           = notMapped("cut", "a listing that goes on", "only what is in the input is imported: list without --max-items")
	unknownKey    = notMapped("unknown", "keys that this program does not know", "left out")
)

// Features are all that an import of Route 53 can meet, in the order of the documentation.
var Features = []importer.Feature{
	simple, weighted, failover, geolocation, multivalue, cidr, latency, geoproximity, localZone, withoutDefault, noDefault, families, simpleBeside,
	severalValues, aliasRecord, aliasMember, aliasBlind, aliasFamily, aliasService, aliasApex, serviceHealth, aliasMixed, aliasHealth, aliasLost, ttlRange, placeless,
	apexRecords, newZone, privateZone, cidrUnknown, otherTypes, secondType, trafficPolicy, unreadable, outside, tooMany, badPolicy,
	endpointCheck, searchString, interval, threshold, otherAddress, domainCheck, certificate, hostPort, disabled, recoveryControl,
	sniOff, inverted, calculated, cloudwatch, checkLost, checkUnusable, checkless, measureLatency, checkerRegions, unusedCheck, comments,
	parameter, condition, intrinsic, otherResource, otherRoute53, cut, unknownKey,
}
