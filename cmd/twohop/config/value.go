package config

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// assign reads text into v, in the form that v's type and key ask for.
func assign(v reflect.Value, name, text string) error {
	switch {
	case v.Type() == durationType:
		d, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("is %q, must be a time with its unit, as 500ms, 10s or 2m", text)
		}
		v.SetInt(int64(d))
		return nil
	case v.Kind() == reflect.String:
		v.SetString(text)
		return nil
	case v.CanInt():
		n, err := parseNumber(text, strings.HasSuffix(name, "_bytes"))
		if err != nil {
			return err
		}
		if v.OverflowInt(n) {
			return fmt.Errorf("is %q, which is too large", text)
		}
		v.SetInt(n)
		return nil
	case v.CanUint():
		n, err := parseNumber(text, strings.HasSuffix(name, "_bytes"))
		if err != nil {
			return err
		}
		if n < 0 || v.OverflowUint(uint64(n)) {
			return fmt.Errorf("is %q, must be 0 to %d", text, uint64(math.MaxUint64)>>(64-v.Type().Bits()))
		}
		v.SetUint(uint64(n))
		return nil
	}
	return fmt.Errorf("has the type %v, which cannot be read", v.Type()) // a test tries every key
}

// number is digits, with _ between them, and a unit for bytes.
var number = regexp.MustCompile(`^([+-]?[0-9]+(?:_[0-9]+)*)([KMG]iB)?$`)

var units = map[string]int64{"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}

func parseNumber(text string, bytes bool) (int64, error) {
	parts := number.FindStringSubmatch(text)
	switch {
	case parts == nil && bytes:
		return 0, fmt.Errorf("is %q, must be a number of bytes, as 65536, 64KiB, 4MiB or 1GiB", text)
	case parts == nil || parts[2] != "" && !bytes:
		return 0, fmt.Errorf("is %q, must be a whole number", text)
	}
	n, err := strconv.ParseInt(strings.ReplaceAll(parts[1], "_", ""), 10, 64)
	unit := units[parts[2]]
	if err != nil || n > math.MaxInt64/unit || n < math.MinInt64/unit {
		return 0, fmt.Errorf("is %q, which is too large", text)
	}
	return n * unit, nil
}

// errSeveral is about a secret that is given in more than one way.
var errSeveral = errors.New("one of secret, secret_file and secret_env is enough: which is meant?")
