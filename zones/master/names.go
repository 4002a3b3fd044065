package master

// name takes a domain name.
func (s *scanner) name() bool {
	w, ok := s.next(aName, "")
	if !ok {
		return false
	}
	if s.data, ok = s.appendName(s.data, w); !ok {
		return s.wrong(w, aName, "")
	}
	return true
}

// appendName appends a name in wire format; a relative one is below the origin.
func (s *scanner) appendName(to []byte, w word) ([]byte, bool) {
	text, start := s.text(w), len(to)
	switch {
	case w.kind != plainWord:
		return to, false
	case string(text) == "@":
		return append(to, s.origin...), true
	case string(text) == ".":
		return append(to, 0), true
	case w.escapes:
		return s.appendEscapedName(to, text)
	}
	for len(text) > 0 {
		size := 0
		for size < len(text) && text[size] != '.' {
			size++
		}
		if size == 0 || size > maxLabel {
			return to, false
		}
		to = append(to, byte(size))
		to = append(to, text[:size]...)
		if size == len(text) {
			to = append(to, s.origin...)
			return to, len(to)-start <= maxName
		}
		text = text[size+1:]
	}
	to = append(to, 0)
	return to, len(to)-start <= maxName
}

// appendEscapedName does the same for a name with backslashes.
func (s *scanner) appendEscapedName(to, text []byte) ([]byte, bool) {
	start, label := len(to), len(to)
	to = append(to, 0)
	for i := 0; i < len(text); i++ {
		c, ok := text[i], true
		switch c {
		case '.':
			if !endLabel(to, label) {
				return to, false
			}
			label = len(to)
			to = append(to, 0)
			continue
		case '\\':
			if c, i, ok = unescape(text, i); !ok {
				return to, false
			}
		}
		to = append(to, c)
	}
	if label+1 < len(to) { // the name does not end with a dot
		if !endLabel(to, label) {
			return to, false
		}
		to = append(to, s.origin...)
	}
	return to, len(to)-start <= maxName
}

// endLabel writes the length of the label that is the end of a name.
func endLabel(name []byte, label int) bool {
	size := len(name) - label - 1
	if size == 0 || size > maxLabel {
		return false
	}
	name[label] = byte(size)
	return true
}

// unescape reads \X or \DDD, which begins at i, and returns the byte and where its text ends (RFC 1035, section 5.1).
func unescape(text []byte, i int) (c byte, last int, ok bool) {
	switch {
	case i+1 >= len(text):
		return 0, i, false
	case !isDigit(text[i+1]):
		return text[i+1], i + 1, true
	case i+3 >= len(text):
		return 0, i, false
	}
	n, ok := number(text[i+1:i+4], 255)
	return byte(n), i + 3, ok
}
