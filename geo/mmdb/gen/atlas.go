package main

import (
	"encoding/json"
	"fmt"
	"math"

	"github.com/meridian-gslb/meridian/geo"
)

// An atlas has, for each country by its ISO numeric code and by its name, the polygons of all its shapes.
type atlas struct{ byNumeric, byName map[string][]polygon }

// A polygon is an outer ring and the holes in it.
type polygon [][]point

// A point is a longitude in radians and the sine of a latitude. In these axes (Lambert's cylindrical
// projection) areas are true, so far northern countries get no undue weight.
type point struct{ x, y float64 }

// topology is the part of TopoJSON 1.0 that the atlas uses.
type topology struct {
	Objects struct {
		Countries struct {
			Geometries []struct {
				Type       string          `json:"type"`
				ID         string          `json:"id"`
				Arcs       json.RawMessage `json:"arcs"`
				Properties struct {
					Name string `json:"name"`
				} `json:"properties"`
			} `json:"geometries"`
		} `json:"countries"`
	} `json:"objects"`
	Arcs      [][][2]int `json:"arcs"`
	Transform struct {
		Scale     [2]float64 `json:"scale"`
		Translate [2]float64 `json:"translate"`
	} `json:"transform"`
}

func parseAtlas(text []byte) (atlas, error) {
	var t topology
	if err := json.Unmarshal(text, &t); err != nil {
		return atlas{}, err
	}
	a := atlas{map[string][]polygon{}, map[string][]polygon{}}
	for _, g := range t.Objects.Countries.Geometries {
		var polygons [][][]int // rings of arcs
		switch g.Type {
		case "Polygon":
			polygons = make([][][]int, 1)
			if err := json.Unmarshal(g.Arcs, &polygons[0]); err != nil {
				return atlas{}, fmt.Errorf("%s: %w", g.Properties.Name, err)
			}
		case "MultiPolygon":
			if err := json.Unmarshal(g.Arcs, &polygons); err != nil {
				return atlas{}, fmt.Errorf("%s: %w", g.Properties.Name, err)
			}
		default:
			return atlas{}, fmt.Errorf("%s: unknown geometry %q (have Polygon, MultiPolygon)", g.Properties.Name, g.Type)
		}
		for _, rings := range polygons {
			var p polygon
			for _, ring := range rings {
				p = append(p, t.ring(ring))
			}
			if g.ID != "" {
				a.byNumeric[g.ID] = append(a.byNumeric[g.ID], p)
			}
			a.byName[g.Properties.Name] = append(a.byName[g.Properties.Name], p)
		}
	}
	return a, nil
}

// ring joins arcs end to end. An arc's points are differences in whole steps of the transform;
// a negative arc ^i is arc i walked backwards.
func (t *topology) ring(arcs []int) []point {
	var ring []point
	for _, i := range arcs {
		backwards := i < 0
		if backwards {
			i = ^i
		}
		var arc []point
		var at [2]int
		for _, step := range t.Arcs[i] {
			at[0] += step[0]
			at[1] += step[1]
			longitude := float64(at[0])*t.Transform.Scale[0] + t.Transform.Translate[0]
			latitude := float64(at[1])*t.Transform.Scale[1] + t.Transform.Translate[1]
			arc = append(arc, point{longitude * math.Pi / 180, math.Sin(latitude * math.Pi / 180)})
		}
		if backwards {
			for l, r := 0, len(arc)-1; l < r; l, r = l+1, r-1 {
				arc[l], arc[r] = arc[r], arc[l]
			}
		}
		if len(ring) > 0 {
			arc = arc[1:] // the joint belongs to both arcs
		}
		ring = append(ring, arc...)
	}
	// A side longer than half a turn really crosses the antimeridian: Russia's and Fiji's do.
	for i := 1; i < len(ring); i++ {
		ring[i].x -= 2 * math.Pi * math.Round((ring[i].x-ring[i-1].x)/(2*math.Pi))
	}
	return ring
}

// centre returns the centroid of the largest polygon: of France it is in Europe, of the United States in the lower 48.
func centre(polygons []polygon) geo.Coordinates {
	var at point
	largest := 0.0
	for _, p := range polygons {
		if c, area := p.centroid(); area > largest {
			at, largest = c, area
		}
	}
	return geo.Coordinates{Latitude: hundredths(math.Asin(at.y)), Longitude: hundredths(math.Remainder(at.x, 2*math.Pi))}
}

func hundredths(radians float64) float64 { return math.Round(radians*180/math.Pi*100) / 100 }

func (p polygon) centroid() (point, float64) {
	var x, y, total float64
	for i, ring := range p {
		c, area := ringCentroid(ring)
		if i > 0 {
			area = -area
		}
		x, y, total = x+c.x*area, y+c.y*area, total+area
	}
	return point{x / total, y / total}, total
}

// ringCentroid sums the triangles between each side and the ring's first point: sums from a far origin
// would lose a small island's area in rounding.
func ringCentroid(ring []point) (point, float64) {
	var x, y, twice float64
	o := ring[0]
	for i := 1; i+1 < len(ring); i++ {
		ax, ay, bx, by := ring[i].x-o.x, ring[i].y-o.y, ring[i+1].x-o.x, ring[i+1].y-o.y
		cross := ax*by - bx*ay
		x, y, twice = x+(ax+bx)*cross, y+(ay+by)*cross, twice+cross
	}
	if twice == 0 {
		return o, 0
	}
	return point{o.x + x/(3*twice), o.y + y/(3*twice)}, math.Abs(twice) / 2
}
