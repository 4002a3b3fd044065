// Package geo says which place a client address belongs to, and how far places are.
//
// A Table maps every address to a Place by longest prefix match. A Partition folds the
// places of a table into the groups that one policy tells apart, and knows for each
// address the shortest prefix around it in which every address is in the same group:
// the scope of an answer (RFC 7871, section 7.1.3).
//
// The package opens no file and keeps no clock. Tables and partitions are immutable once
// built: any number of goroutines may read them. The scopes of one partition never overlap.
package geo

import "math"

// A RegionID is the name of a region, as the configuration spells it.
type RegionID string

// Coordinates are a point on the globe in degrees: latitude −90…90, longitude −180…180.
type Coordinates struct {
	Latitude  float64 `json:"latitude"`
	Longitude float64 `json:"longitude"`
}

// Valid reports whether both angles are in their range.
func (c Coordinates) Valid() bool {
	return c.Latitude >= -90 && c.Latitude <= 90 && c.Longitude >= -180 && c.Longitude <= 180
}

const earthRadiusKM = 6371.0

// Distance returns the length in kilometres of the great circle between a and b (haversine).
func Distance(a, b Coordinates) float64 {
	const rad = math.Pi / 180
	sinLat := math.Sin((b.Latitude - a.Latitude) * rad / 2)
	sinLon := math.Sin((b.Longitude - a.Longitude) * rad / 2)
	h := sinLat*sinLat + math.Cos(a.Latitude*rad)*math.Cos(b.Latitude*rad)*sinLon*sinLon
	return 2 * earthRadiusKM * math.Asin(math.Sqrt(min(1, h)))
}

// A PlaceID is the index of a place in its table. IDs mean nothing outside that table.
type PlaceID uint32

// Two places are in every table.
const (
	Unknown PlaceID = 0 // no source knows the address
	Special PlaceID = 1 // private or special-purpose space: no place on the globe
)

// A Place is what the sources know of a prefix. The zero Place is nowhere. Places compare by ==.
type Place struct {
	Continent   string      `json:"continent,omitempty"`   // two letters: AF AN AS EU NA OC SA
	Country     string      `json:"country,omitempty"`     // ISO 3166-1 alpha-2
	Subdivision string      `json:"subdivision,omitempty"` // ISO 3166-2, country included: US-CA
	City        string      `json:"city,omitempty"`
	ASN         uint32      `json:"asn,omitempty"`
	Located     bool        `json:"located,omitempty"` // At is known
	At          Coordinates `json:"at,omitzero"`
}
