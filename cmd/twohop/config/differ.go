package config

import (
	"fmt"
	"reflect"
	"strconv"
)

// Differ names the keys whose values in effect are others in next than in c, each with both values and the place of the new
// one. Secrets and lists are named only.
func (c *Config) Differ(next *Config) (all []string) {
	was, is := reflect.ValueOf(c.Options.WithDefaults()), reflect.ValueOf(next.Options.WithDefaults())
	for _, k := range keys {
		a, b := was.FieldByIndex(k.index), is.FieldByIndex(k.index)
		switch {
		case a.Equal(b):
		case k.typ == secretType:
			all = append(all, fmt.Sprintf("%s is another one (%s)", k.name, next.places[k.name]))
		default:
			all = append(all, fmt.Sprintf("%s is %s here, and %s in what was written (%s)", k.name, shown(a), shown(b), next.places[k.name]))
		}
	}
	for _, k := range lists {
		if !reflect.DeepEqual(was.FieldByIndex(k.index).Interface(), is.FieldByIndex(k.index).Interface()) {
			all = append(all, k.name+" is another list")
		}
	}
	return all
}

// shown writes a value so that it is seen where it is empty, too.
func shown(v reflect.Value) string {
	if v.Kind() == reflect.String {
		return strconv.Quote(v.String())
	}
	return fmt.Sprint(v)
}
