package dnssec

import "time"

const (
	// DefaultValidity is how long signatures are valid from when they are made.
	DefaultValidity = 14 * 24 * time.Hour
	// MinValidity is the least that Window works with; less is taken as this.
	MinValidity = 7 * 24 * time.Hour
	// Backdate is how long before it is made a signature becomes valid, for validators whose clocks are slow.
	Backdate = 3 * time.Hour
)

// Window returns the times of a signature over sets at an owner that is made, or still in use, at now; and when the
// next is due. It depends on the arguments alone: all nameservers whose clocks agree make the same signature,
// and those whose clocks differ by a little do so except around a boundary, where the one before is still good.
//
// Time is cut into periods of half the validity, which begin at another instant for each owner, spread evenly, and a
// little earlier or later each time, so that renewals are 90 % to 110 % of half the validity apart. A signature is made as
// of the beginning of its period: valid from Backdate before, until validity after. So at any now at least 45 % of the
// validity is left.
func Window(owner []byte, now time.Time, validity time.Duration) (inception, expiration uint32, renew time.Time) {
	validity = max(validity, MinValidity).Truncate(2 * time.Second)
	half := int64(validity/time.Second) / 2
	hash := hashName(owner)
	begin := func(period int64) int64 {
		jitter := int64(mix(hash^uint64(period))%uint64(half/10+1)) - half/20
		return period*half + int64(hash%uint64(half)) + jitter
	}
	at := now.Unix()
	period := at/half + 1 // the first that can't have begun
	for begin(period) > at {
		period--
	}
	return uint32(begin(period) - int64(Backdate/time.Second)), uint32(begin(period) + 2*half), time.Unix(begin(period+1), 0).UTC()
}

// hashName is FNV-1a over a name, mixed so that all its bits are equally good.
func hashName(name []byte) uint64 {
	hash := uint64(14695981039346656037)
	for _, b := range name {
		hash = (hash ^ uint64(b)) * 1099511628211
	}
	return mix(hash)
}

// mix is the finalizer of SplitMix64: every bit of x moves half the bits of the result.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
