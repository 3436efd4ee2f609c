package config

import (
	"reflect"
	"strings"
	"time"

	"github.com/twohop/twohop/messageserver"
)

var (
	optionsType  = reflect.TypeFor[messageserver.Options]()
	durationType = reflect.TypeFor[time.Duration]()
	secretType   = reflect.TypeFor[messageserver.Secret]()
)

// key is one key with a single value.
type key struct {
	name  string // with dots
	index []int  // of the field, for reflect.Value.FieldByIndex
	typ   reflect.Type
}

// keys are the keys with single values, lists those with lists, in the order of the options.
var keys, lists = func() (single, list []key) {
	eachField(optionsType, func(k key) {
		if k.typ.Kind() == reflect.Slice {
			list = append(list, k)
		} else {
			single = append(single, k)
		}
	})
	return single, list
}()

// eachField calls visit for every field below t that is not a section.
func eachField(t reflect.Type, visit func(key)) {
	for i := range t.NumField() {
		f := t.Field(i)
		name := tag(f)
		switch {
		case name == "":
		case f.Type.Kind() == reflect.Struct:
			eachField(f.Type, func(k key) {
				visit(key{name + "." + k.name, append([]int{i}, k.index...), k.typ})
			})
		default:
			visit(key{name, []int{i}, f.Type})
		}
	}
}

// tag returns a field's name in the file, or "".
func tag(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if name == "-" {
		return ""
	}
	return name
}

func find(name string) (key, bool) {
	for _, k := range keys {
		if k.name == name {
			return k, true
		}
	}
	return key{}, false
}

// Names returns the keys that have a single value, with dots.
func Names() []string {
	names := make([]string, 0, len(keys))
	for _, k := range keys {
		names = append(names, k.name)
	}
	return names
}

// variable returns the name of the environment variable of a key.
func variable(name string) string {
	return prefix + strings.ToUpper(strings.ReplaceAll(name, ".", "_"))
}

const prefix = "TWOHOP_"

// nearest returns the candidate that name was most likely meant to be, or "". The last part of a dotted candidate counts
// alone, too: a key in the wrong section is near, and so is one whose name was cut short.
func nearest(name string, candidates []string) string {
	best, least := "", max(1, len(name)/3)+1
	own := name[strings.LastIndexByte(name, '.')+1:]
	for _, c := range candidates {
		d := distance(name, c)
		last := c[strings.LastIndexByte(c, '.')+1:]
		if short := distance(own, last); short <= max(1, len(own)/3) {
			d = min(d, short+1)
		}
		if strings.HasPrefix(last, own+"_") {
			d = min(d, 2)
		}
		if d < least {
			best, least = c, d
		}
	}
	return best
}

// distance is the number of letters to add, remove, replace or swap (optimal string alignment).
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(row[j-1]+1, last[j]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
