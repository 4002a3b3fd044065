package bind

import "github.com/meridian-gslb/meridian/cmd/meridian/importer"

var (
	primaryZone = importer.Feature{Name: "primary", Title: "zones of type primary (master) and their files", Outcome: importer.Imported,
		How: "files in `zones/`, which is one of the `zone_directories`; `$ORIGIN`, `$TTL` and `$GENERATE` are read as BIND does"}
	included = importer.Feature{Name: "include", Title: "$INCLUDE in zone files", Outcome: importer.Imported,
		How: "the records of the other file, where the directive stood; Meridian reads no other files"}
	secondary = importer.Feature{Name: "secondary", Title: "zones of type secondary (slave)", Outcome: importer.Imported,
		How: "`secondary:` with their primaries"}

	views = importer.Feature{Name: "view", Title: "views", Outcome: importer.Mapped,
		How: "their zones; of a zone that is in several, that of the first: answers by client are matters of pools"}
	keys = importer.Feature{Name: "key", Title: "TSIG keys", Outcome: importer.Mapped,
		How: "their names; a file with the key goes to every nameserver, and into `dns.tsig_keys` of its node.yaml ([transfers.md](transfers.md))"}

	transfers = importer.Feature{Name: "transfers", Title: "allow-transfer, also-notify, notify, allow-notify", Outcome: importer.NotMapped,
		How: "say in `transfer:` who may have a zone ([transfers.md](transfers.md)); nobody may by default"}
	updates = importer.Feature{Name: "updates", Title: "update-policy, allow-update", Outcome: importer.NotMapped,
		How: "dynamic updates are for ACME's challenges only (`updates:`)"}
	signing = importer.Feature{Name: "signing", Title: "dnssec-policy, inline-signing, key-directory", Outcome: importer.NotMapped,
		How: "give the zone the key `dnssec:`; `meridian key import` takes BIND's keys over ([dnssec.md](dnssec.md))"}
	binary = importer.Feature{Name: "raw", Title: "zone files in the formats raw and map", Outcome: importer.NotMapped,
		How: "convert them first: `named-compilezone -f raw -F text`"}
	otherZone = importer.Feature{Name: "other-zone", Title: "zones of other types and classes, and the root", Outcome: importer.NotMapped,
		How: "Meridian is no resolver; it serves what it has of class IN"}
	twice = importer.Feature{Name: "twice", Title: "a zone that stands more than once", Outcome: importer.NotMapped,
		How: "the first is imported"}
	otherPrimary = importer.Feature{Name: "other-primary", Title: "primaries that are no addresses, and TLS to them", Outcome: importer.NotMapped,
		How: "left out: write their addresses, with `tls:` and the name that their certificate proves"}
	options = importer.Feature{Name: "options", Title: "other options", Outcome: importer.NotMapped,
		How: "they are matters of `node.yaml` ([node.md](node.md)), if of anything"}
)

// Features are all that an import of BIND can meet, in the order of the documentation.
var Features = []importer.Feature{primaryZone, included, secondary, views, keys, transfers, updates, signing, binary, otherZone, twice, otherPrimary, options}
