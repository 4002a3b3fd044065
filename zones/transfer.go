package zones

import "net/netip"

// A Transfer says who may have a zone, and who hears of its changes.
type Transfer struct {
	Allow  []Grant
	XoT    bool // only over TLS 1.3 (RFC 9103)
	Notify []Target

	Defaults bool // a steered zone goes out as its default answers; else it does not
}

// A Grant allows who signs by the key, if there is one, and comes from the prefix, if there is one. One of them there is.
type Grant struct {
	Key    string // canonical name of a TSIG key; empty: any
	Prefix netip.Prefix
}

// A Target hears of changes (NOTIFY), signed if there is a key.
type Target struct {
	Address netip.AddrPort
	Key     string
}

// A Primary is whom a zone is copied from.
type Primary struct {
	Address netip.AddrPort
	Key     string      // empty: nothing is signed
	TLS     *PrimaryTLS // nil: plain TCP
}

// A PrimaryTLS says how a primary proves who it is (XoT, RFC 9103).
type PrimaryTLS struct {
	Name  string // in its certificate
	CA    string // file of the world; empty: the authorities of the system
	Roots []byte // the content of that
}

// An UpdateKey may change the challenges of some hosts by dynamic updates (RFC 2136).
type UpdateKey struct {
	Key   string
	Hosts []string // fully qualified, lower case, ordered
}

// A Catalog is a zone of others that lists zones to be copied (RFC 9432).
type Catalog struct {
	Apex      string // fully qualified, lower case
	Primaries []Primary
	Groups    []CatalogGroup // ordered by name
}

// A CatalogGroup says where members of a group are copied from.
type CatalogGroup struct {
	Name      string
	Primaries []Primary
}
