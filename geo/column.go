package geo

// A column grows without being copied: of millions of elements, that would take twice the memory.
type column[T any] struct {
	chunks [][]T
	length int
}

// The sizes of chunks.
const (
	leastChunk = 64
	mostChunk  = 1 << 15
)

func (c *column[T]) add(v T) {
	n := len(c.chunks) - 1
	if n < 0 || len(c.chunks[n]) == cap(c.chunks[n]) {
		c.chunks = append(c.chunks, make([]T, 0, min(max(c.length, leastChunk), mostChunk)))
		n++
	}
	c.chunks[n] = append(c.chunks[n], v)
	c.length++
}

// tail returns the last element.
func (c *column[T]) tail() *T {
	chunk := c.chunks[len(c.chunks)-1]
	return &chunk[len(chunk)-1]
}

// slice returns all elements, with room for some more.
func (c *column[T]) slice(more int) []T {
	s := make([]T, 0, c.length+more)
	for _, chunk := range c.chunks {
		s = append(s, chunk...)
	}
	return s
}

// next returns a function that gives the elements in order; ok is false behind the last.
func (c *column[T]) next() func() (v T, ok bool) {
	chunk, i := 0, 0
	return func() (v T, ok bool) {
		if chunk == len(c.chunks) {
			return v, false
		}
		v = c.chunks[chunk][i]
		if i++; i == len(c.chunks[chunk]) {
			chunk, i = chunk+1, 0
		}
		return v, true
	}
}
