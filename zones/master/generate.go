package master

import (
	"bytes"
	"strconv"
)

// readGenerate reads `$GENERATE start-end[/step] text` and then the text once for each value, which takes the place of each $
// in it. BIND brought the directive; no RFC has it.
func (s *scanner) readGenerate() error {
	first, last, step, text, ok := s.generateHead()
	if !ok {
		return s.refuse()
	}
	owner := append([]byte(nil), s.owner...)
	generated := entry{line: s.entry.line}
	s.entry = &generated
	defer func() {
		s.entry = &s.own
		s.owner = append(s.owner[:0], owner...) // what follows has the owner of before
	}()
	var expanded []byte
	for value := first; ; value += step {
		var bad []byte
		if expanded, bad = expand(expanded[:0], text, value, first, last); bad != nil {
			s.begin()
			s.failAt(s.entry.line, "%s is not a modifier (${offset,width,base}: ${0}, ${-5,3} or ${0,2,x}; base d, o, x or X)", quote(bad))
			return s.refuse()
		}
		if err := s.readGenerated(append(expanded, '\n')); err != nil {
			return err
		}
		if s.fault.text != "" || last-value < step {
			return nil
		}
	}
}

// generateHead reads what stands before the text, and joins that.
func (s *scanner) generateHead() (first, last, step int64, text []byte, ok bool) {
	if w, found := s.entry.strayWord(); found {
		return 0, 0, 0, nil, s.wrong(w, "", "")
	}
	w, ok := s.next(aRange, "")
	if !ok {
		return 0, 0, 0, nil, false
	}
	first, last, step, ok = valueRange(s.text(w))
	if !ok || w.kind != plainWord {
		return 0, 0, 0, nil, s.wrong(w, aRange, "")
	}
	if _, ok = s.next(aName, ""); !ok {
		return 0, 0, 0, nil, false
	}
	return first, last, step, s.entry.appendWords(nil, s.word-1), true
}

// valueRange reads start-end or start-end/step.
func valueRange(text []byte) (first, last, step int64, ok bool) {
	const limit = 1<<63 - 1
	values, steps, stepped := bytes.Cut(text, []byte("/"))
	from, to, _ := bytes.Cut(values, []byte("-"))
	start, ok1 := number(from, limit/10)
	end, ok2 := number(to, limit/10)
	by, ok3 := uint64(1), true
	if stepped {
		by, ok3 = number(steps, limit/10)
	}
	if !ok1 || !ok2 || !ok3 || by == 0 || end < start || (end-start)/by >= maxGenerated {
		return 0, 0, 0, false
	}
	return int64(start), int64(end), int64(by), true
}

// readGenerated reads one entry that was made.
func (s *scanner) readGenerated(text []byte) error {
	e := s.entry
	e.line = s.own.line
	if !e.split(text) || len(e.words) == 0 || e.size != len(text) {
		s.begin()
		s.failAt(e.line, "makes no record: %s", quote(text))
		return s.refuse()
	}
	for i := range e.words {
		e.words[i].line = int32(s.own.line)
	}
	e.lastLine = s.own.line
	s.begin()
	if d := e.directive(); d != noDirective {
		s.failAt(e.line, "makes the directive %s, not records", directives[d])
		return s.refuse()
	}
	return s.readRecord()
}

// expand puts a value where $ stands in a text: $ alone, or ${offset,width,base}. $$ is a $ that stays, and what a backslash
// stands before stays too. The modifier that can't be read is returned as bad.
func expand(to, text []byte, value, first, last int64) (expanded, bad []byte) {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			to = append(to, c, text[i+1])
			i++
		case c != '$':
			to = append(to, c)
		case i+1 < len(text) && text[i+1] == '$':
			to = append(to, c)
			i++
		case i+1 < len(text) && text[i+1] == '{':
			size := bytes.IndexByte(text[i:], '}') + 1
			if size == 0 {
				return to, text[i:]
			}
			var ok bool
			if to, ok = appendModified(to, text[i+2:i+size-1], value, first, last); !ok {
				return to, text[i : i+size]
			}
			i += size - 1
		default:
			to = strconv.AppendInt(to, value, 10)
		}
	}
	return to, nil
}

// appendModified appends a value by offset, width and base.
func appendModified(to, modifier []byte, value, first, last int64) ([]byte, bool) {
	const maxValue = 1<<31 - 1
	parts := bytes.Split(modifier, []byte(","))
	offset, err := strconv.ParseInt(string(parts[0]), 10, 32)
	if err != nil || first+offset < 0 || last+offset > maxValue || len(parts) > 3 {
		return to, false
	}
	width, ok := uint64(0), true
	if len(parts) > 1 {
		width, ok = number(parts[1], 255)
	}
	base := "d"
	if len(parts) > 2 {
		base = string(parts[2])
	}
	var digits []byte
	switch value += offset; base {
	case "d":
		digits = strconv.AppendInt(nil, value, 10)
	case "o":
		digits = strconv.AppendInt(nil, value, 8)
	case "x":
		digits = strconv.AppendInt(nil, value, 16)
	case "X":
		digits = bytes.ToUpper(strconv.AppendInt(nil, value, 16))
	default:
		return to, false
	}
	for range max(0, int(width)-len(digits)) {
		to = append(to, '0')
	}
	return append(to, digits...), ok
}
