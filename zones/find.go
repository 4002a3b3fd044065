package zones

// A Match is what a zone holds for a name that was asked for (RFC 1034, section 4.3.2, RFC 4592).
type Match struct {
	Name     *Name // nil: the name does not exist
	Offset   int   // how many bytes of the name stand before the owner of Name; 0 unless Name is a delegation
	Wildcard bool  // Name is the wildcard that covers the name
}

// Find looks a name up. It is in wire format and lower case, at or below the zone's apex. If the name lies
// at or below a zone cut, the match is the delegation. It allocates nothing.
func (z *ZoneData) Find(name []byte) Match {
	offset := 0
	closest := z.names[string(name)]
	for closest == nil {
		offset += 1 + int(name[offset])
		closest = z.names[string(name[offset:])] // the apex at the latest
	}
	if offset == 0 || closest.Cut != nil {
		return Match{Name: closest, Offset: offset}
	}
	var wildcard [256]byte
	n := copy(wildcard[:], "\x01*")
	n += copy(wildcard[n:], name[offset:])
	if source := z.names[string(wildcard[:n])]; source != nil {
		return Match{Name: source, Wildcard: true}
	}
	return Match{}
}
