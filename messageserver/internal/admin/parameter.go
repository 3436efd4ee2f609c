package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"
)

// knows answers with serve only what has no other query parameters than the known ones, by HTTP method, each a list with blanks
// between. A misspelt one would silently ask for something else.
func knows(known map[string]string, serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		names := strings.Fields(known[method])
		var unknown []string
		for name := range r.URL.Query() {
			if !slices.Contains(names, name) {
				unknown = append(unknown, fmt.Sprintf("%q", name))
			}
		}
		if len(unknown) == 0 {
			serve(w, r)
			return
		}
		slices.Sort(unknown)
		may := "there are none here"
		if len(names) > 0 {
			may = "there are " + strings.Join(names, ", ")
		}
		refuse(w, http.StatusBadRequest, fmt.Sprintf("unknown parameter %s: %s", strings.Join(unknown, ", "), may))
	}
}

// parameters are those of GET, or of POST where there is no GET.
func parameters(names string) map[string]string {
	return map[string]string{http.MethodGet: names, http.MethodPost: names}
}

// plain says what is wrong with JSON in the words of who has sent it, without names of this program.
func plain(err error) error {
	if wrong, is := errors.AsType[*json.UnmarshalTypeError](err); is {
		// Structs inside others have no key in JSON, and stand in the path nevertheless.
		path := slices.DeleteFunc(strings.Split(wrong.Field, "."), func(part string) bool { return part == "account" || part == "Scope" })
		name, article := strings.Join(path, "."), "a"
		if name == "" {
			name = "it"
		}
		if wrong.Value == "array" || wrong.Value == "object" {
			article = "an"
		}
		return fmt.Errorf("%s is %s %s, must be %s", name, article, wrong.Value, jsonName(wrong.Type))
	}
	if wrong, is := errors.AsType[*time.ParseError](err); is {
		return fmt.Errorf("%s is no time, which is written as 2026-11-20T10:00:00Z", wrong.Value)
	}
	return errors.New(strings.TrimPrefix(err.Error(), "json: "))
}

func jsonName(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.Struct, reflect.Map, reflect.Pointer:
		return "an object"
	default:
		return "a number" + jsonRange(t)
	}
}

// jsonRange says of whole numbers that they are, and what the smallest is.
func jsonRange(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Float32, reflect.Float64:
		return ""
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return " without fraction, at least 0"
	default:
		return " without fraction"
	}
}
