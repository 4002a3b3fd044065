package host

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/meridian-gslb/meridian/health"
	"github.com/meridian-gslb/meridian/zones"
)

// A pack is the files of the last good world in one file, for a start at which the directory has mistakes. As zones.Files it is
// read-only. Its format: a line that names it and the world's digest; for each file the lengths of its name and contents, 4 bytes
// each, and both; two zeros; the CRC-32C of all that.
type pack struct {
	file  *os.File
	at    map[string]span // by name
	names []string        // sorted
}

type span struct{ from, size int64 }

const (
	packName   = "world.pack"
	packHeader = "meridian world v1 %016x\n"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// packDigest returns the digest of the world that is packed in a directory; 0 where there is none.
func packDigest(dir string) (digest health.Hash64) {
	f, err := os.Open(filepath.Join(dir, packName))
	if err != nil {
		return 0
	}
	defer f.Close()
	if _, err := fmt.Fscanf(f, packHeader, &digest); err != nil {
		return 0
	}
	return digest
}

// writePack packs a world that was read from files, into a file of a directory.
func writePack(dir, name string, files zones.Files, world *zones.World) (err error) {
	f, err := os.CreateTemp(dir, name+newInfix)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	sum := crc32.New(castagnoli)
	w := bufio.NewWriterSize(io.MultiWriter(f, sum), 256<<10)
	fmt.Fprintf(w, packHeader, uint64(world.Digest))
	names, err := packed(files, world)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := packFile(w, files, name); err != nil {
			return err
		}
	}
	w.Write(make([]byte, 8))
	if err := w.Flush(); err != nil {
		return err
	}
	if err := binary.Write(f, binary.BigEndian, sum.Sum32()); err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, name))
}

// packed returns the names of the files that a world was read from.
func packed(files zones.Files, world *zones.World) ([]string, error) {
	all, err := files.List(".")
	if err != nil {
		return nil, err
	}
	names := slices.DeleteFunc(all, func(name string) bool { return path.Ext(name) != ".yaml" })
	for _, table := range world.Latency {
		names = append(names, table.Name())
	}
	roots := func(primaries []zones.Primary) {
		for _, p := range primaries {
			if p.TLS != nil && p.TLS.CA != "" {
				names = append(names, p.TLS.CA)
			}
		}
	}
	for i := range world.Zones {
		z := &world.Zones[i]
		if !z.Copied {
			names = append(names, z.File)
		}
		roots(z.Secondary)
	}
	for _, c := range world.Catalogs {
		roots(c.Primaries)
		for _, g := range c.Groups {
			roots(g.Primaries)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

var errChanged = errors.New("changed while it was read")

func packFile(w io.Writer, files zones.Files, name string) error {
	f, version, err := files.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	size := version.Size
	var head [8]byte
	binary.BigEndian.PutUint32(head[:], uint32(len(name)))
	binary.BigEndian.PutUint32(head[4:], uint32(size))
	if _, err := w.Write(append(head[:], name...)); err != nil {
		return err
	}
	n, err := io.Copy(w, f)
	if err == nil && n != size {
		err = fmt.Errorf("%s: %w", name, errChanged)
	}
	return err
}

// openPack opens a pack. An error that is not fs.ErrNotExist says that it is damaged.
func openPack(file string) (*pack, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	p := &pack{file: f, at: make(map[string]span)}
	if err := readPack(f, func(name string, at span) {
		p.at[name] = at
		p.names = append(p.names, name)
	}); err != nil {
		f.Close()
		return nil, err
	}
	slices.Sort(p.names)
	return p, nil
}

// checkPack says whether the pack in a directory is sound, with errors as openPack has them. It remembers nothing of what it reads.
func checkPack(dir string) error {
	f, err := os.Open(filepath.Join(dir, packName))
	if err != nil {
		return err
	}
	defer f.Close()
	return readPack(f, func(string, span) {})
}

// readPack reads the whole file once, to tell of what is in it and to find whether it is sound.
func readPack(f *os.File, found func(name string, at span)) error {
	if err := readSound(&summed{r: bufio.NewReaderSize(f, 256<<10), sum: crc32.New(castagnoli)}, found); err != nil {
		return fmt.Errorf("%s: %w", f.Name(), err)
	}
	return nil
}

func readSound(r *summed, found func(name string, at span)) error {
	header := make([]byte, len(fmt.Sprintf(packHeader, 0)))
	var digest health.Hash64
	if _, err := io.ReadFull(r, header); err != nil {
		return errDamaged
	}
	if _, err := fmt.Fscanf(bytes.NewReader(header), packHeader, &digest); err != nil {
		return errDamaged
	}
	for {
		var head [8]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return errDamaged
		}
		name, size := int64(binary.BigEndian.Uint32(head[:])), int64(binary.BigEndian.Uint32(head[4:]))
		if name == 0 {
			break
		}
		if name > 4096 {
			return errDamaged
		}
		text := make([]byte, name)
		if _, err := io.ReadFull(r, text); err != nil {
			return errDamaged
		}
		found(string(text), span{r.read, size})
		if _, err := io.CopyN(io.Discard, r, size); err != nil {
			return errDamaged
		}
	}
	want := r.sum.Sum32()
	var got uint32
	if err := binary.Read(r.r, binary.BigEndian, &got); err != nil || got != want {
		return errDamaged
	}
	return nil
}

// A summed reader counts what is read, and sums it up.
type summed struct {
	r    io.Reader
	sum  hash.Hash32
	read int64
}

func (s *summed) Read(b []byte) (int, error) {
	n, err := s.r.Read(b)
	s.sum.Write(b[:n])
	s.read += int64(n)
	return n, err
}

func (p *pack) Close() error { return p.file.Close() }

// List is for zones.Files.
func (p *pack) List(dir string) ([]string, error) {
	var names []string
	for _, name := range p.names {
		if path.Dir(name) == dir {
			names = append(names, path.Base(name))
		}
	}
	return names, nil
}

// Version is for zones.Files.
func (p *pack) Version(name string) zones.Version {
	s, ok := p.at[name]
	if !ok {
		return zones.Version{}
	}
	return zones.Version{Size: s.size, Inode: uint64(s.from)}
}

// Open is for zones.Files.
func (p *pack) Open(name string) (io.ReadCloser, zones.Version, error) {
	s, ok := p.at[name]
	if !ok {
		return nil, zones.Version{}, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return io.NopCloser(io.NewSectionReader(p.file, s.from, s.size)), p.Version(name), nil
}
