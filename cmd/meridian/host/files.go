package host

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/meridian-gslb/meridian/zones"
)

// directory is the files of a world's directory, as zones.Files: what is hidden or no regular file is not of it. Links are
// followed: by them some deployments replace all files at once.
type directory string

func (d directory) path(name string) (string, error) {
	if !fs.ValidPath(name) {
		return "", &fs.PathError{Op: "open", Path: name, Err: fs.ErrInvalid}
	}
	if name == "." {
		return string(d), nil
	}
	return string(d) + "/" + name, nil
}

// List is for zones.Files.
func (d directory) List(dir string) ([]string, error) {
	p, err := d.path(dir)
	if err != nil {
		return nil, err
	}
	f, err := os.Open(p)
	if err != nil {
		return nil, fmt.Errorf("world: %w", err)
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	if err != nil {
		return nil, fmt.Errorf("world: %w", err)
	}
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		regular := e.Type().IsRegular()
		if e.Type()&fs.ModeSymlink != 0 {
			info, err := os.Stat(filepath.Join(p, e.Name()))
			regular = err == nil && info.Mode().IsRegular()
		}
		if regular && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names) // os.ReadDir would sort the entries, which takes twice as long
	return names, nil
}

// Version is for zones.Files.
func (d directory) Version(name string) zones.Version {
	p, err := d.path(name)
	if err != nil {
		return zones.Version{}
	}
	var s unix.Stat_t
	if unix.Stat(p, &s) != nil {
		return zones.Version{}
	}
	return versionOf(&s)
}

// versionOf is the zero Version for what is no regular file. The time at which the inode changed can't be set back, as that of
// the contents can.
func versionOf(s *unix.Stat_t) zones.Version {
	if s.Mode&unix.S_IFMT != unix.S_IFREG {
		return zones.Version{}
	}
	return zones.Version{Size: s.Size, Modified: s.Mtim.Nano(), Changed: s.Ctim.Nano(), Inode: s.Ino}
}

// Open is for zones.Files.
func (d directory) Open(name string) (io.ReadCloser, zones.Version, error) {
	p, err := d.path(name)
	if err != nil {
		return nil, zones.Version{}, err
	}
	descriptor, err := unix.Open(p, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, zones.Version{}, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	f := &file{descriptor: descriptor}
	var s unix.Stat_t
	if err := unix.Fstat(descriptor, &s); err != nil {
		f.Close()
		return nil, zones.Version{}, &fs.PathError{Op: "stat", Path: name, Err: err}
	}
	version := versionOf(&s)
	if version == (zones.Version{}) {
		f.Close()
		return nil, version, &fs.PathError{Op: "open", Path: name, Err: errNotRegular}
	}
	f.left = version.Size
	return f, version, nil
}

var errNotRegular = errors.New("is no regular file")

// A file is read without what package os does for files that may block: a hundred thousand small ones are opened at a start.
type file struct {
	descriptor int
	left       int64 // of the size that it had when it was opened
}

func (f *file) Read(b []byte) (int, error) {
	if f.left <= 0 {
		return 0, io.EOF
	}
	for {
		n, err := unix.Read(f.descriptor, b[:min(int64(len(b)), f.left)])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.ErrUnexpectedEOF // it was cut while it was read
		default:
			f.left -= int64(n)
			return n, nil
		}
	}
}

func (f *file) Close() error { return unix.Close(f.descriptor) }

var errNotConfigured = errors.New("no file in it ends in .yaml")

// configured reports an error if there is no world in the directory.
func (d directory) configured() error {
	names, err := d.List(".")
	if err != nil {
		return err
	}
	for _, name := range names {
		if filepath.Ext(name) == ".yaml" {
			return nil
		}
	}
	return fmt.Errorf("world: %s: %w", string(d), errNotConfigured)
}

// A print is what is known of a world's files without reading them.
type print struct{ hash.Hash64 }

func (p print) note(name string, v zones.Version) {
	var b [8]byte
	io.WriteString(p, name)
	for _, part := range []uint64{uint64(v.Size), uint64(v.Modified), uint64(v.Changed), v.Inode} {
		binary.BigEndian.PutUint64(b[:], part)
		p.Write(b[:])
	}
}

// rootPrint is of the files in the directory itself.
func (d directory) rootPrint() (uint64, error) {
	names, err := d.List(".")
	if err != nil {
		return 0, err
	}
	p := print{fnv.New64a()}
	for _, name := range names {
		p.note(name, d.Version(name))
	}
	return p.Sum64(), nil
}

// fingerprint changes whenever a file of the directory does, or one that the world (nil: none) was made of.
func (d directory) fingerprint(world *zones.World, now time.Time) (uint64, error) {
	root, err := d.rootPrint()
	if err != nil {
		return 0, err
	}
	return d.print(root, world, now, func(name string, _ zones.Version) zones.Version { return d.Version(name) })
}

// fingerprintOf returns what fingerprint returned when a world was read, if rootPrint returned root just before that.
func (d directory) fingerprintOf(root uint64, world *zones.World, now time.Time) (uint64, error) {
	return d.print(root, world, now, func(_ string, read zones.Version) zones.Version { return read })
}

// settled is how old the last change in a directory must be for the next one to be told from it by its time.
const settled = 2 * time.Second

// print is 0 where a directory has only just changed: then it is to be read again.
func (d directory) print(root uint64, world *zones.World, now time.Time, version func(name string, read zones.Version) zones.Version) (uint64, error) {
	p := print{fnv.New64a()}
	binary.Write(p, binary.BigEndian, root) // never fails
	if world == nil {
		return p.Sum64(), nil
	}
	for _, dir := range world.Directories {
		var s unix.Stat_t
		if err := unix.Stat(filepath.Join(string(d), dir), &s); err != nil {
			return 0, &fs.PathError{Op: "stat", Path: dir, Err: err}
		}
		if now.Sub(time.Unix(s.Ctim.Unix())) < settled {
			return 0, nil
		}
		p.note(dir, zones.Version{Modified: s.Mtim.Nano(), Changed: s.Ctim.Nano(), Inode: s.Ino})
	}
	for i := range world.Latency {
		if t := &world.Latency[i]; strings.Contains(t.Name(), "/") {
			p.note(t.Name(), version(t.Name(), t.Version))
		}
	}
	for i := range world.Zones {
		if z := &world.Zones[i]; strings.Contains(z.File, "/") && !z.Copied { // the others are the directory's own, or not of the world
			p.note(z.File, version(z.File, z.Version))
		}
	}
	return p.Sum64(), nil
}
