package config

import (
	"fmt"
	"reflect"
	"strings"

	"github.com/twohop/twohop/messageserver"
)

// Input is what a configuration is made from.
type Input struct {
	File  string   // may be empty
	Env   []string // as os.Environ returns it
	Flags []Flag   // in the order of the command line
}

// Flag is a key that was set on the command line.
type Flag struct {
	Name  string // of the flag, without --
	Key   string
	Value string
}

// Config are options, and where they come from.
type Config struct {
	Options messageserver.Options // what was written; the rest is zero, which stands for the default

	places map[string]Place
}

// Origin returns where the value of a key comes from.
func (c *Config) Origin(name string) Place { return c.places[name] }

// Load makes a configuration. The error is Problems.
func Load(in Input) (*Config, error) {
	c := &Config{places: make(map[string]Place)}
	v := reflect.ValueOf(&c.Options).Elem()
	var problems Problems
	r := &reader{file: in.File, places: c.places, lookup: lookupIn(in.Env)}
	if in.File != "" {
		r.readFile(v)
		problems = r.problems
	}
	problems = append(problems, readEnvironment(in.Env, r.named, v, c.places)...)
	problems = append(problems, readFlags(in.Flags, v, c.places)...)
	problems = append(problems, c.zeros(problems)...)
	problems = append(problems, c.validate(problems)...)
	return c, problems.sorted()
}

func lookupIn(env []string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, entry := range env {
			if text, ok := strings.CutPrefix(entry, name+"="); ok {
				return text, true
			}
		}
		return "", false
	}
}

// readFlags lays the flags over v.
func readFlags(flags []Flag, v reflect.Value, places map[string]Place) (problems Problems) {
	for _, f := range flags {
		place := Place{source: inFlag, name: f.Name}
		k, ok := find(f.Key)
		if !ok {
			text := f.Key + ": is not a key with a single value"
			if meant := nearest(f.Key, Names()); meant != "" {
				text += "; " + meant + " is"
			}
			problems = append(problems, Problem{place, "", text})
			continue
		}
		places[k.name] = place
		if k.typ == secretType {
			problems = append(problems, Problem{place, k.name, "a secret on the command line is seen by everybody on the machine: use the file or " + variable(k.name)})
			continue
		}
		if err := assign(v.FieldByIndex(k.index), k.name, f.Value); err != nil {
			problems = append(problems, Problem{place, k.name, err.Error()})
		}
	}
	return problems
}

// zeros finds what was written and would be taken for not written.
func (c *Config) zeros(before Problems) (problems Problems) {
	written, effective := reflect.ValueOf(c.Options), reflect.ValueOf(c.Options.WithDefaults())
	for _, k := range keys {
		at, is := c.places[k.name]
		if !is || before.about(k.name) || !written.FieldByIndex(k.index).IsZero() {
			continue
		}
		if d := effective.FieldByIndex(k.index); !d.IsZero() {
			zero := fmt.Sprint(reflect.Zero(k.typ))
			if zero == "" {
				zero = `""`
			}
			problems = append(problems, Problem{at, k.name, fmt.Sprintf(
				"%s stands for the default, which is %v: leave the key out", zero, d)})
		}
	}
	return problems
}

// validate asks the options themselves, and gives each answer its place. What is known to be wrong is not said again.
func (c *Config) validate(before Problems) (problems Problems) {
	err := c.Options.Validate()
	if err == nil {
		return nil
	}
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	for _, e := range all {
		name, text, ok := strings.Cut(e.Error(), ": ")
		if !ok {
			name, text = "", e.Error()
		}
		if before.about(name) {
			continue
		}
		problems = append(problems, Problem{c.placeOf(name), name, text})
	}
	return problems
}

// about reports whether a problem is about a key, or about the list or section that it is in.
func (p Problems) about(name string) bool {
	for _, problem := range p {
		k := problem.Key
		if k == "" {
			continue
		}
		k = strings.TrimSuffix(strings.TrimSuffix(k, "_file"), "_env")
		if k == name || strings.HasPrefix(name, k+".") || strings.HasPrefix(name, k+"[") {
			return true
		}
	}
	return false
}

// placeOf returns where a key was written. A part of a list's item that was not written is missing where the item stands.
func (c *Config) placeOf(name string) Place {
	for {
		if at, ok := c.places[name]; ok || !strings.Contains(name, "[") {
			return at
		}
		name = name[:strings.LastIndexAny(name, ".[")]
	}
}
