package signer

import (
	"encoding/binary"
	"unsafe"
)

// pins are the signatures over what exists. One goroutine gathers them; then they do not change any more. What is known of a
// signature lies in one piece with it, so that finding one waits for two places of memory, and the garbage collector looks at none.
type pins struct {
	slots  []slot // a power of two, at most half of them taken
	chunks [][]byte
	n      int

	// The SOA record of denials is in most of what is signed: it is known by where it lies.
	denial    *byte
	denialSig sig
}

// A slot says where a signature lies. Its tag is of the key, so that others are seldom read in vain.
type slot struct {
	tag   uint32
	place uint32 // 0: it is empty
}

const (
	// A chunk has as many places, or the size of its only signature if that is larger.
	places    = 1 << 13
	placeSize = 8
	leastPins = 16 // slots

	// Where in a signature's piece is what.
	pinRenew   = 16
	pinExpires = 24
	pinSize    = 32
	pinCount   = 36
	pinRecords = 40
)

// find returns the signature of a key. Its records may not be changed.
func (p *pins) find(k key) (made sig, ok bool) {
	if p.n == 0 {
		return sig{}, false
	}
	at, tag := p.slotOf(k)
	for ; p.slots[at].place != 0; at = (at + 1) & (len(p.slots) - 1) {
		if p.slots[at].tag != tag {
			continue
		}
		if piece := p.piece(p.slots[at].place); keyOf(piece) == k {
			return sigOf(piece), true
		}
	}
	return sig{}, false
}

// setDenial says where the set of a key lies that denials share.
func (p *pins) setDenial(k key, set []byte) {
	if made, ok := p.find(k); ok {
		p.denial, p.denialSig = unsafe.SliceData(set), made
	}
}

// add keeps a copy of the signature of a key that has none.
func (p *pins) add(k key, made sig) {
	if 2*(p.n+1) > len(p.slots) {
		p.grow()
	}
	p.n++
	place := p.room(pinRecords + len(made.records))
	piece := binary.LittleEndian.AppendUint64(p.chunks[len(p.chunks)-1], k[0])
	piece = binary.LittleEndian.AppendUint64(piece, k[1])
	piece = binary.LittleEndian.AppendUint64(piece, uint64(made.renew))
	piece = binary.LittleEndian.AppendUint64(piece, uint64(made.expires))
	piece = binary.LittleEndian.AppendUint32(piece, uint32(len(made.records)))
	piece = binary.LittleEndian.AppendUint32(piece, uint32(made.count))
	p.chunks[len(p.chunks)-1] = append(piece, made.records...)
	p.put(k, place)
}

// room makes the last chunk end where a piece of a size can begin, and returns that place.
func (p *pins) room(size int) (place uint32) {
	last := len(p.chunks) - 1
	if last >= 0 {
		used := (len(p.chunks[last]) + placeSize - 1) &^ (placeSize - 1)
		if used+size <= cap(p.chunks[last]) && used < places*placeSize {
			p.chunks[last] = p.chunks[last][:used]
			return uint32(last*places+used/placeSize) + 1
		}
	}
	p.chunks = append(p.chunks, make([]byte, 0, max(size, places*placeSize)))
	return uint32((last+1)*places) + 1
}

func (p *pins) put(k key, place uint32) {
	at, tag := p.slotOf(k)
	for p.slots[at].place != 0 {
		at = (at + 1) & (len(p.slots) - 1)
	}
	p.slots[at] = slot{tag, place}
}

func (p *pins) grow() {
	old := p.slots
	p.slots = make([]slot, max(leastPins, 2*len(old)))
	for _, s := range old {
		if s.place != 0 {
			p.put(keyOf(p.piece(s.place)), s.place)
		}
	}
}

// slotOf returns where the slot of a key is, unless others were there first. The halves of a key are hashes already.
func (p *pins) slotOf(k key) (at int, tag uint32) {
	return int(k[0]^k[1]) & (len(p.slots) - 1), uint32(k[1] >> 32)
}

func (p *pins) piece(place uint32) []byte {
	place--
	return p.chunks[place/places][place%places*placeSize:]
}

func keyOf(piece []byte) key {
	return key{binary.LittleEndian.Uint64(piece), binary.LittleEndian.Uint64(piece[8:])}
}

func sigOf(piece []byte) sig {
	end := pinRecords + binary.LittleEndian.Uint32(piece[pinSize:])
	return sig{
		records: piece[pinRecords:end:end],
		count:   uint16(binary.LittleEndian.Uint32(piece[pinCount:])),
		renew:   int64(binary.LittleEndian.Uint64(piece[pinRenew:])),
		expires: int64(binary.LittleEndian.Uint64(piece[pinExpires:])),
	}
}
