package rules

import (
	"strconv"
	"strings"
	"time"
)

// number returns a number above 0 and at most most; byDefault where there is none.
func (f *fields) number(key string, byDefault, most float64) float64 {
	s, ok := f.text(key)
	if !ok {
		return byDefault
	}
	v, err := strconv.ParseFloat(s, 64)
	if err != nil || strings.Trim(s, "0123456789.eE+-") != "" || !(v > 0 && v <= most) {
		f.keyWrongf(key, "is %s, must be a number above 0 and at most %s", quoted(s), strconv.FormatFloat(most, 'f', -1, 64))
		return byDefault
	}
	return v
}

// whole returns a whole number within its bounds.
func (f *fields) whole(key string, least, most int) int {
	s, ok := f.text(key)
	if !ok {
		return 0
	}
	v, err := strconv.Atoi(s)
	if err != nil || v < least || v > most {
		shown := quoted(s)
		if f.secret {
			shown = "something else"
		}
		f.keyWrongf(key, "is %s, must be a whole number from %d to %d", shown, least, most)
		return 0
	}
	return v
}

// duration returns a duration above 0 and at most most; 0 where there is none.
func (f *fields) duration(key string, most time.Duration) Duration {
	s, ok := f.text(key)
	if !ok {
		return 0
	}
	v, err := time.ParseDuration(s)
	if err != nil || v < time.Millisecond || v > most {
		f.keyWrongf(key, "is %s, must be a duration from 1ms to %v, as 500ms or 2s", quoted(s), Duration(most))
		return 0
	}
	return Duration(v)
}
