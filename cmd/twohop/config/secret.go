package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v3"
)

const maxSecret = 4096 // bytes

// secretKey returns the key whose secret name refers to, and how: file or env.
func secretKey(v reflect.Value, name string) (base, how string) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Type != secretType {
			continue
		}
		for _, how := range []string{"file", "env"} {
			if tag(f)+"_"+how == name {
				return tag(f), how
			}
		}
	}
	return "", ""
}

// secret reads the secret that n refers to into the field of v that name ends with.
func (r *reader) secret(n *yaml.Node, v reflect.Value, name, how string, again bool) {
	at := r.at(n)
	field, _ := fieldOf(v, name[strings.LastIndexByte(name, '.')+1:])
	key := name + "_" + how
	r.places[name] = at
	if how == "env" {
		r.named = append(r.named, n.Value)
	}
	switch {
	case again:
		r.problemf(at, key, "%v", errSeveral)
	case n.Kind != yaml.ScalarNode || n.Value == "" || n.Tag == "!!null":
		r.problemf(at, key, "must be the name of a %s", map[string]string{"file": "file", "env": "variable"}[how])
	case how == "env":
		text, ok := r.lookup(n.Value)
		if !ok || text == "" {
			r.problemf(at, key, "the variable %s is not set", n.Value)
			return
		}
		at.via = "variable " + n.Value
		r.places[name] = at
		field.SetString(text)
	default:
		path := n.Value
		if !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(r.file), path)
		}
		text, err := ReadSecret(path)
		if err != nil {
			r.problemf(at, key, "%v", err)
			return
		}
		at.via = "file " + path
		r.places[name] = at
		field.SetString(text)
	}
}

// ReadSecret reads a secret from a file that others may not read. One line break at its end is not part of it.
func ReadSecret(path string) (string, error) {
	f, err := os.Open(path) //nolint:gosec // the operator names it
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, errors.Unwrap(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	switch mode := info.Mode(); {
	case mode.IsDir():
		return "", fmt.Errorf("%s: is a directory", path)
	case mode.Perm()&0o007 != 0:
		return "", fmt.Errorf("%s: everybody can read it (mode %04o): chmod o= %s", path, mode.Perm(), path)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	switch {
	case err != nil:
		return "", fmt.Errorf("%s: %w", path, err)
	case len(text) > maxSecret:
		return "", fmt.Errorf("%s: has more than %d bytes", path, maxSecret)
	}
	secret := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if secret == "" {
		return "", fmt.Errorf("%s: is empty", path)
	}
	return secret, nil
}
