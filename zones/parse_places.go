package zones

import (
	"errors"
	"fmt"
	"strings"

	"github.com/meridian-gslb/meridian/zones/strict"
)

var continents = [...]string{"AF", "AN", "AS", "EU", "NA", "OC", "SA"}

// countries are the codes of ISO 3166-1 alpha-2, and XK, which the sources of places use for Kosovo.
const countries = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ " +
	"CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR " +
	"GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP " +
	"KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ " +
	"NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW " +
	"SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ " +
	"UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW"

func isCountry(code string) bool {
	return len(code) == 2 && code[0] != ' ' && code[1] != ' ' && strings.Contains(countries, code)
}

func country(text string) (string, error) {
	upper := strings.ToUpper(text)
	switch {
	case isCountry(text):
		return text, nil
	case isCountry(upper):
		return "", fmt.Errorf("is not a country (write %s)", upper)
	case text == "UK":
		return "", errors.New("is not a country (the United Kingdom is GB)")
	case text == "EU":
		return "", errors.New("is not a country (write continents: [EU])")
	}
	return "", errors.New("is not a country (ISO 3166-1 alpha-2, such as DE)")
}

func subdivision(text string) (string, error) {
	code, part, ok := strings.Cut(text, "-")
	good := ok && isCountry(code) && part != "" && len(part) <= 3
	for i := range len(part) {
		good = good && (part[i] >= 'A' && part[i] <= 'Z' || part[i] >= '0' && part[i] <= '9')
	}
	if !good {
		return "", errors.New("is not a subdivision (ISO 3166-2, such as US-CA)")
	}
	return text, nil
}

// apexName is the name of a zone, as dns.CanonicalName would write it.
var apexName = strict.Parsed("zone name", func(text string) (string, error) {
	name, err := domainName(text, "")
	if err == nil && name == "." {
		err = errors.New("the root zone is not ours to serve")
	}
	return name, err
})
