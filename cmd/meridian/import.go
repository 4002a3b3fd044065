package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meridian-gslb/meridian/cmd/meridian/importer"
	"github.com/meridian-gslb/meridian/cmd/meridian/importer/bind"
	"github.com/meridian-gslb/meridian/cmd/meridian/importer/gdnsd"
	"github.com/meridian-gslb/meridian/cmd/meridian/importer/route53"
	"github.com/meridian-gslb/meridian/zones"
)

type importCommand struct {
	Route53 importRoute53 `cmd:"" name:"route53" help:"Import hosted zones and health checks of Amazon Route 53: what aws route53 list-resource-record-sets, list-health-checks, list-hosted-zones and list-cidr-blocks print, and CloudFormation templates."`
	Gdnsd   importGdnsd   `cmd:"" name:"gdnsd" help:"Import the configuration directory of gdnsd: its file config, the files that it includes, and zones/."`
	BIND    importBIND    `cmd:"" name:"bind" help:"Import the zones of a named.conf of BIND: the files of its primary zones, with those that they include, and the primaries of its secondary zones."`
}

// An imported is where an import goes.
type imported struct {
	Out  string `help:"Directory to write the world to; it must not be there yet, or be empty. Without it nothing is written." placeholder:"DIR"`
	JSON bool   `help:"Print the report as JSON, to standard output." name:"json"`
}

type importRoute53 struct {
	Files []string `arg:"" name:"file" help:"Files of JSON or YAML."`
	Zone  []string `help:"Apex of a zone that records belong to, if no file tells. May be repeated." placeholder:"NAME"`
	imported
}

// Run imports what the files hold.
func (c importRoute53) Run() error {
	files, err := readInputs(c.Files)
	if err != nil {
		return err
	}
	result, err := route53.Import(files, c.Zone)
	if err != nil {
		return mistakes(err)
	}
	return c.finish(result)
}

type importGdnsd struct {
	Dir string `arg:"" help:"The directory, usually /etc/gdnsd."`
	imported
}

// Run imports the directory.
func (c importGdnsd) Run() error {
	files, err := readTree(c.Dir)
	if err != nil {
		return err
	}
	result, err := gdnsd.Import(files)
	if err != nil {
		return mistakes(err)
	}
	return c.finish(result)
}

type importBIND struct {
	Conf string `arg:"" help:"The file, usually /etc/bind/named.conf or /etc/named.conf." placeholder:"NAMED.CONF"`
	imported
}

// Run imports what the file lists. Files that it names are looked for as named does, whose relative names begin at the directory that it sets.
func (c importBIND) Run() error {
	room := int64(importer.MaxInput)
	result, err := bind.Import(filepath.ToSlash(c.Conf), func(name string) ([]byte, error) {
		info, err := os.Stat(name)
		if err != nil {
			return nil, err
		}
		if room -= info.Size(); room < 0 || !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s: is no file, or the files are larger than %d MiB together", name, importer.MaxInput>>20)
		}
		return os.ReadFile(name)
	})
	if err != nil {
		return mistakes(err)
	}
	return c.finish(result)
}

// readTree reads the files below a directory, by their names in it. Databases of places, of which imports know nothing, are left out.
func readTree(dir string) (map[string][]byte, error) {
	files := map[string][]byte{}
	room := int64(importer.MaxInput)
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || slices.Contains([]string{".mmdb", ".dat"}, filepath.Ext(name)) {
			return err
		}
		if info, err := os.Stat(name); err != nil || !info.Mode().IsRegular() { // of a link, what it leads to
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if room -= int64(len(data)); room < 0 {
			return fmt.Errorf("%s: the files are larger than %d MiB together", dir, importer.MaxInput>>20)
		}
		within, err := filepath.Rel(dir, name)
		files[filepath.ToSlash(within)] = data
		return err
	})
	return files, err
}

func readInputs(names []string) (files []importer.File, err error) {
	room := int64(importer.MaxInput)
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		if room -= int64(len(data)); room < 0 {
			return nil, fmt.Errorf("%s: the files are larger than %d MiB together", name, importer.MaxInput>>20)
		}
		files = append(files, importer.File{Name: name, Data: data})
	}
	return files, nil
}

// finish writes what was imported and reports it.
func (c imported) finish(result *importer.Result) error {
	if c.Out != "" {
		if err := writeWorld(c.Out, result.Files); err != nil {
			return err
		}
	}
	warnings, problems := judge(result.Files)
	if c.JSON {
		return c.printJSON(result, warnings, problems)
	}
	fmt.Fprint(os.Stderr, result.Report.Text())
	look := 0
	for _, data := range result.Files {
		look += strings.Count(string(data), importer.Mark)
	}
	switch {
	case c.Out == "":
		fmt.Fprintf(os.Stderr, "%d files, nothing written: --out DIR writes them\n", len(result.Files))
	default:
		fmt.Fprintf(os.Stderr, "wrote %d files to %s; %d comments in them begin with %s\n", len(result.Files), c.Out, look, strings.TrimSpace(importer.Mark))
	}
	if len(problems) > 0 {
		fmt.Fprintf(os.Stderr, "meridian check finds in them:\n%s\n", strings.Join(problems, "\n"))
	}
	return nil
}

// writeWorld writes files to a directory that holds none.
func writeWorld(dir string, files map[string][]byte) error {
	have, err := os.ReadDir(dir)
	switch {
	case err == nil && len(have) > 0:
		return fmt.Errorf("--out: %s is not empty", dir)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	for name, data := range files {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(file, data, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// judge returns what meridian check says of files.
func judge(files map[string][]byte) (warnings, problems []string) {
	world, err := zones.Parse(files)
	if err != nil {
		return nil, strings.Split(err.Error(), "\n")
	}
	for _, w := range world.Warnings {
		warnings = append(warnings, w.String())
	}
	return warnings, nil
}

// printJSON prints the report for programs.
func (c imported) printJSON(result *importer.Result, warnings, problems []string) error {
	type note struct {
		Feature string           `json:"feature"`
		Title   string           `json:"title"`
		Outcome importer.Outcome `json:"outcome"`
		How     string           `json:"how"`
		File    string           `json:"file,omitempty"`
		Line    int              `json:"line,omitempty"`
		Subject string           `json:"subject"`
		Detail  string           `json:"detail,omitempty"`
	}
	report := struct {
		Out      string   `json:"out,omitempty"`
		Files    []string `json:"files"`
		Notes    []note   `json:"notes"`
		Problems []string `json:"problems"`
		Warnings []string `json:"warnings"`
	}{Out: c.Out, Files: []string{}, Notes: []note{}, Problems: append([]string{}, problems...), Warnings: append([]string{}, warnings...)}
	for name := range result.Files {
		report.Files = append(report.Files, name)
	}
	slices.Sort(report.Files)
	for _, n := range result.Report.Notes() {
		report.Notes = append(report.Notes, note{n.Feature.Name, n.Feature.Title, n.Feature.Outcome, n.Feature.How, n.At.File, n.At.Line, n.Subject, n.Detail})
	}
	encoder := json.NewEncoder(os.Stdout)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(report)
}
