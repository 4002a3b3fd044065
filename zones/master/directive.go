package master

// A directive is what an entry is that begins with a word of its own (RFC 1035, section 5.1; RFC 2308, section 4).
type directive int

const (
	noDirective directive = iota
	originDirective
	ttlDirective
	includeDirective
	generateDirective
)

var directives = [...]string{
	originDirective: "$ORIGIN", ttlDirective: "$TTL", includeDirective: "$INCLUDE", generateDirective: "$GENERATE",
}

func (e *entry) directive() directive {
	if e.inherits || len(e.words) == 0 {
		return noDirective
	}
	w := e.words[0]
	text := e.text[w.start:w.end]
	if w.kind != plainWord || text[0] != '$' {
		return noDirective
	}
	for d, name := range directives {
		if name != "" && isWord(text, name) {
			return directive(d)
		}
	}
	return noDirective
}

func (s *scanner) readDirective(d directive) error {
	s.word = 1
	s.data = s.data[:0]
	ok := false
	switch d {
	case originDirective:
		ok = s.readOrigin()
	case ttlDirective:
		ok = s.readTTL()
	case includeDirective:
		s.refuseInclude()
	case generateDirective:
		return s.readGenerate()
	}
	if !ok {
		return s.refuse()
	}
	return nil
}

func (s *scanner) readOrigin() bool {
	w, ok := s.next(aName, "")
	if !ok {
		return false
	}
	s.scratch, ok = s.appendName(s.scratch[:0], w)
	if !ok {
		return s.wrong(w, aName, "")
	}
	if !s.noMore() {
		return false
	}
	s.origin = append(s.origin[:0], s.scratch...)
	return true
}

func (s *scanner) readTTL() bool {
	w, ok := s.next(aDuration, "")
	if !ok {
		return false
	}
	ttl, ok := duration(s.text(w))
	if !ok || w.kind != plainWord {
		return s.wrong(w, aDuration, "")
	}
	if !s.noMore() {
		return false
	}
	s.ttl, s.ttlKnown, s.ttlFixed = ttl, true, true
	return true
}

func (s *scanner) refuseInclude() {
	if len(s.entry.words) == 1 {
		s.failAt(s.entry.line, "is not allowed (write the records here)")
		return
	}
	w := s.entry.words[1]
	s.failAt(int(w.line), "is not allowed (write the records of %s here)", quote(s.text(w)))
}
