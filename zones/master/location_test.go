package master_test

import (
	"strings"
	"testing"
)

func TestLocations(t *testing.T) {
	for _, row := range []struct{ why, data, want string }{
		{"all that it may have", `51 30 12.748 N 0 7 39.612 W 10.00m 2m 300m 40m`, `51 30 12.748 N 00 07 39.612 W 10m 2m 300m 40m`},
		{"degrees alone", `51 S 7 E 0`, `51 00 0.000 S 07 00 0.000 E 0m 1m 10000m 10m`},
		{"degrees and minutes, with zeros before them", `051 007 n 0 59 w 0m`, `51 07 0.000 N 00 59 0.000 W 0m 1m 10000m 10m`},
		{"the farthest", `90 0 0 S 180 0 0.000 W 0m`, `90 00 0.000 S 180 00 0.000 W 0m 1m 10000m 10m`},
		{"the last second of a degree", `89 59 59.999 N 179 59 59.999 E 0m`, `89 59 59.999 N 179 59 59.999 E 0m 1m 10000m 10m`},
		{"a thousandth that no binary fraction is", `1 1 4.019 N 1 1 .5 E 0m`, `01 01 4.019 N 01 01 0.500 E 0m 1m 10000m 10m`},
		{"the lowest altitude", `1 N 1 E -100000.00m`, `01 00 0.000 N 01 00 0.000 E -100000m 1m 10000m 10m`},
		{"the highest", `1 N 1 E 42849672.95m`, `01 00 0.000 N 01 00 0.000 E 42849672.95m 1m 10000m 10m`},
		{"one below sea level", `1 N 1 E -0.5M`, `01 00 0.000 N 01 00 0.000 E -0.50m 1m 10000m 10m`},
		{"one with a sign", `1 N 1 E +5.`, `01 00 0.000 N 01 00 0.000 E 5m 1m 10000m 10m`},
		{"zeros behind the centimetres", `1 N 1 E 5.250m`, `01 00 0.000 N 01 00 0.000 E 5.25m 1m 10000m 10m`},
		{"the largest size, and one rounded down", `1 N 1 E 0m 90000000.00m 99.99`, `01 00 0.000 N 01 00 0.000 E 0m 90000000m 90m 10m`},
		{"centimetres and nothing", `1 N 1 E 0m .05m 0m 0.25m`, `01 00 0.000 N 01 00 0.000 E 0m 0.05m 0.00m 0.20m`},
		{"over lines", "1 N ( 1 E ; c\n 0m\n 2m )", `01 00 0.000 N 01 00 0.000 E 0m 2m 10000m 10m`},
		{"a version that is not known", `\# 16 01a2161300000000 70be15f000988d20`, `596 31 23.648 S 71 06 18.000 W -24m 10m 10000m 10m`},
	} {
		records, mistakes := readAll(t, strings.NewReader("a 5 LOC "+row.data))
		if got := strings.Join(records, "\n"); got != "1: a.z.example. 5 IN LOC "+row.want || len(mistakes) > 0 {
			t.Errorf("%s: %s = %s, mistakes %s, want %s", row.why, row.data, got, mistakes, row.want)
		}
	}
}

func TestLocationMistakes(t *testing.T) {
	const (
		aLength = " is not metres from 0 to 90000000.00, to the centimetre "
		aHeight = " is not an altitude from -100000.00m to 42849672.95m, to the centimetre"
	)
	for _, row := range []struct{ why, data, want string }{
		{"an altitude that is too high", `51 30 12.748 N 0 7 39.612 W 42849673m`, `"42849673m"` + aHeight},
		{"by a centimetre", `1 N 1 E 42849672.96m`, `"42849672.96m"` + aHeight},
		{"an altitude that is too low", `1 N 1 E -100000.01m`, `"-100000.01m"` + aHeight},
		{"parts of a centimetre", `1 N 1 E 5.555m`, `"5.555m"` + aHeight},
		{"an exponent", `1 N 1 E 1e3m`, `"1e3m"` + aHeight},
		{"no number", `1 N 1 E NaN`, `"NaN"` + aHeight},
		{"a unit alone", `1 N 1 E m`, `"m"` + aHeight},
		{"a sign alone", `1 N 1 E -`, `"-"` + aHeight},
		{"a point alone", `1 N 1 E .m`, `".m"` + aHeight},
		{"a quoted altitude", `1 N 1 E "5m"`, `"\""` + aHeight},
		{"no altitude", `1 N 1 E`, `ends where an altitude from -100000.00m to 42849672.95m, to the centimetre should stand`},
		{"a latitude that is too far", `91 N 1 E 0m`, `"91" is not degrees from 0 to 90 (Latitude)`},
		{"by a thousandth", `90 0 0.001 N 1 E 0m`, `"0.001" makes an angle of more than 90 degrees (Latitude)`},
		{"by a minute", `90 1 N 1 E 0m`, `"1" makes an angle of more than 90 degrees (Latitude)`},
		{"a longitude that is too far", `1 N 181 E 0m`, `"181" is not degrees from 0 to 180 (Longitude)`},
		{"by a minute of longitude", `1 N 180 1 E 0m`, `"1" makes an angle of more than 180 degrees (Longitude)`},
		{"degrees with decimals", `1.0 N 1 E 0m`, `"1.0" is not degrees from 0 to 90 (Latitude)`},
		{"minutes", `1 60 N 1 E 0m`, `"60" is not minutes from 0 to 59, or N or S (Latitude)`},
		{"seconds", `1 N 1 0 60 E 0m`, `"60" is not seconds from 0 to 59.999, or E or W (Longitude)`},
		{"parts of a thousandth", `1 0 59.9999 N 1 E 0m`, `"59.9999" is not seconds from 0 to 59.999, or N or S (Latitude)`},
		{"no second", `1 0 NaN N 1 E 0m`, `"NaN" is not seconds from 0 to 59.999, or N or S (Latitude)`},
		{"a direction of the other axis", `1 E`, `"E" is not minutes from 0 to 59, or N or S (Latitude)`},
		{"no direction", `1 0 0 0`, `"0" is not N or S (Latitude)`},
		{"no end", `1 0 0`, `ends where N or S (Latitude) should stand`},
		{"a parenthesis that was not open", `)`, `")" has no "(" before it`},
		{"a size that is too large", `1 N 1 E 0m 90000001m`, `"90000001m"` + aLength + `(Size)`},
		{"by a centimetre of size", `1 N 1 E 0m 90000000.01m`, `"90000000.01m"` + aLength + `(Size)`},
		{"a precision below nothing", `1 N 1 E 0m 1m -1m`, `"-1m"` + aLength + `(HorizPre)`},
		{"a precision in other units", `1 N 1 E 0m 1m 1m 1km`, `"1km"` + aLength + `(VertPre)`},
		{"more than its data", `1 N 1 E 0m 1m 1m 1m 1m`, `"1m" stands after the end of the data`},
		{"too little of the generic form", `\# 15 00121613 89172dd0 70be15f0 00988d`, `does not fit the wire format of the type`},
		{"no digit", `\# 16 00a21613 89172dd0 70be15f0 00988d20`, `0xa2 is not a digit from 1 to 9 and a power of ten from 0 to 9, or 0x00 (Size)`},
		{"no power of ten", `\# 16 00121a13 89172dd0 70be15f0 00988d20`, `0x1a is not a digit from 1 to 9 and a power of ten from 0 to 9, or 0x00 (HorizPre)`},
		{"a power of nothing", `\# 16 00121602 89172dd0 70be15f0 00988d20`, `0x02 is not a digit from 1 to 9 and a power of ten from 0 to 9, or 0x00 (VertPre)`},
		{"an angle of the generic form that is too far", `\# 16 00121613 93503201 70be15f0 00988d20`, `an angle of 324022785 thousandths of a second is more than 90 degrees (Latitude)`},
		{"another to the west", `\# 16 00121613 89172dd0 00000000 00988d20`, `an angle of -2147483648 thousandths of a second is more than 180 degrees (Longitude)`},
	} {
		records, mistakes := readAll(t, strings.NewReader("a 5 LOC "+row.data))
		want := "1: a.z.example. LOC: " + row.want + " (lost a.z.example. LOC)"
		if got := strings.Join(mistakes, "\n"); got != want || len(records) > 0 {
			t.Errorf("%s: %s: mistakes\n%s\nwant\n%s\nrecords %s", row.why, row.data, got, want, records)
		}
	}
}
