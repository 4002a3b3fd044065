package static

// A Match is what a zone holds for a name that was asked for (RFC 1034, section 4.3.2, RFC 4592).
//
//	the zone has                    Name              Offset         Wildcard  Redirected
//	the name                        its               0              no        no
//	a cut at or above the name      the cut           of the cut     no        no
//	a DNAME above the name          the DNAME's       of that        no        yes
//	a wildcard for the name         the wildcard's    of the parent  yes       no
//	none of these                   the zero Name     of the parent  no        no
//
// The parent is the closest encloser: the longest name that exists and that the name asked for lies below.
type Match struct {
	Name       Name
	Offset     int // how many bytes of the name asked for stand before the owner of Name or the closest encloser
	Wildcard   bool
	Redirected bool
}

// Find looks a name up. It is in wire format and lower case, at or below the zone's apex. It allocates nothing.
func (z *Zone) Find(name []byte) Match {
	below := name[:len(name)-len(z.Apex)]
	offset := z.skip(below)
	var closest node
	for {
		if closest = z.lookup(below[offset:]); closest != nil && closest[0]&hiddenNode == 0 {
			break
		}
		offset += 1 + int(below[offset]) // the apex exists
	}
	switch {
	case offset == 0 || closest[0]&flagCut != 0:
		return Match{Name: Name{closest}, Offset: offset}
	case closest[0]&flagDNAME != 0:
		return Match{Name: Name{closest}, Offset: offset, Redirected: true}
	case closest[0]&flagWildcard == 0:
		return Match{Offset: offset}
	}
	var wildcard [256]byte
	n := copy(wildcard[:], "\x01*")
	n += copy(wildcard[n:], below[offset:])
	return Match{Name: Name{z.lookup(wildcard[:n])}, Offset: offset, Wildcard: true}
}

// At returns what the zone has at a name itself, glue included; the zero Name where it has nothing. The name is in wire format and
// lower case, at or below the zone's apex. It allocates nothing.
func (z *Zone) At(name []byte) Name {
	n := z.lookup(name[:len(name)-len(z.Apex)])
	if n == nil || n[0]&flagRemoved != 0 {
		return Name{}
	}
	return Name{n}
}

// skip returns the offset of the first label at which the name is no deeper than any in the zone.
func (z *Zone) skip(below []byte) (offset int) {
	labels := 0
	for at := 0; at < len(below); at += 1 + int(below[at]) {
		labels++
	}
	for ; labels > z.depth; labels-- {
		offset += 1 + int(below[offset])
	}
	return offset
}
