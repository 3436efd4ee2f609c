package admin

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/twohop/twohop/messageserver/internal/alarm"
)

// description is docs/openapi.yaml, as far as it is compared with what is answered.
type description struct {
	Paths      map[string]map[string]operation
	Components struct {
		Parameters map[string]parameter
		Responses  map[string]described
		Schemas    map[string]*schema
	}
}

type operation struct {
	Parameters []parameter
	Body       *struct {
		Content map[string]struct{ Examples map[string]example }
	} `yaml:"requestBody"`
	Responses map[string]described
	Requests  []request `yaml:"x-requests"` // in place of the one that the parameters' examples make
}

type parameter struct {
	Ref      string `yaml:"$ref"`
	Name     string
	In       string
	Required bool
	Example  any
}

type example struct {
	Value  any
	Status int `yaml:"x-status"` // 0: 200
}

type request struct {
	Query  map[string]string
	Status int // 0: 200
}

type described struct {
	Ref     string `yaml:"$ref"`
	Content map[string]struct{ Schema *schema }
}

type schema struct {
	Ref                  string `yaml:"$ref"`
	Type                 string
	Enum                 []any
	Required             []string
	Properties           map[string]*schema
	Items                *schema
	AdditionalProperties yaml.Node `yaml:"additionalProperties"`
}

// UnmarshalYAML takes "true" for a schema that anything fits.
func (s *schema) UnmarshalYAML(n *yaml.Node) error {
	if n.Kind == yaml.ScalarNode {
		return nil
	}
	type plain schema
	return n.Decode((*plain)(s))
}

func readDescription(t *testing.T) *description {
	t.Helper()
	text, err := os.ReadFile("../../../docs/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	d := new(description)
	if err := yaml.Unmarshal(text, d); err != nil {
		t.Fatal(err)
	}
	return d
}

// check says what is wrong with a value. It is stricter than JSON Schema: an object that lists properties has no others, unless it
// says so.
func (d *description) check(s *schema, v any, at string) (wrong []string) {
	if s == nil {
		return nil
	}
	if s.Ref != "" {
		name := s.Ref[strings.LastIndexByte(s.Ref, '/')+1:]
		if s = d.Components.Schemas[name]; s == nil {
			return []string{at + ": there is no schema " + name}
		}
	}
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, v) {
		wrong = append(wrong, fmt.Sprintf("%s: is %v, must be one of %v", at, v, s.Enum))
	}
	fits := true
	switch v := v.(type) {
	case map[string]any:
		fits = s.Type == "object" || s.Type == ""
		wrong = append(wrong, d.checkObject(s, v, at)...)
	case []any:
		fits = s.Type == "array" || s.Type == ""
		for i, one := range v {
			wrong = append(wrong, d.check(s.Items, one, fmt.Sprintf("%s[%d]", at, i))...)
		}
	case string:
		fits = s.Type == "string" || s.Type == ""
	case bool:
		fits = s.Type == "boolean" || s.Type == ""
	case float64:
		fits = s.Type == "number" || s.Type == "integer" && v == float64(int64(v)) || s.Type == ""
	case nil:
		fits = false
	}
	if !fits {
		wrong = append(wrong, fmt.Sprintf("%s: is %v, must be of type %s", at, v, s.Type))
	}
	return wrong
}

func (d *description) checkObject(s *schema, v map[string]any, at string) (wrong []string) {
	for _, name := range s.Required {
		if _, ok := v[name]; !ok {
			wrong = append(wrong, at+"."+name+": is missing")
		}
	}
	others := s.AdditionalProperties
	for name, one := range v {
		if of := s.Properties[name]; of != nil {
			wrong = append(wrong, d.check(of, one, at+"."+name)...)
		} else if s.Properties != nil && others.Value != "true" && others.Kind != yaml.MappingNode {
			wrong = append(wrong, at+"."+name+": is not described")
		}
	}
	return wrong
}

func TestTheDescriptionHasEveryEndpoint(t *testing.T) {
	d := readDescription(t)
	answered, written := map[string]bool{}, map[string]bool{}
	for _, e := range (&Server{}).endpoints() {
		for method := range strings.SplitSeq(e.allow, ", ") {
			answered[method+" "+strings.TrimSuffix(e.path, "{$}")] = true
		}
	}
	for path, operations := range d.Paths {
		for method := range operations {
			written[strings.ToUpper(method)+" "+path] = true
		}
	}
	if !maps.Equal(answered, written) {
		for one := range answered {
			if !written[one] {
				t.Errorf("%s is not described", one)
			}
		}
		for one := range written {
			if !answered[one] {
				t.Errorf("%s is described and does not exist", one)
			}
		}
	}
}

// TestEveryExampleIsAnsweredAsDescribed asks for everything that the description has an example of, each at nodes of its own.
func TestEveryExampleIsAnsweredAsDescribed(t *testing.T) {
	d := readDescription(t)
	for path, operations := range d.Paths {
		for method, o := range operations {
			method = strings.ToUpper(method)
			for i := range o.Parameters {
				if ref := o.Parameters[i].Ref; ref != "" {
					o.Parameters[i] = d.Components.Parameters[ref[strings.LastIndexByte(ref, '/')+1:]]
				}
			}
			if o.Body == nil {
				t.Run(method+" "+path, func(t *testing.T) { d.tryReading(t, path, &o) })
				continue
			}
			for kind, content := range o.Body.Content {
				if len(content.Examples) == 0 {
					t.Errorf("%s %s has no example as %s", method, path, kind)
				}
				for name, e := range content.Examples {
					t.Run(method+" "+path+" "+name, func(t *testing.T) {
						body, ok := e.Value.(string)
						if !ok {
							text, err := json.Marshal(e.Value)
							if err != nil {
								t.Fatal(err)
							}
							body = string(text)
						}
						d.try(t, describedWorld(t), method, path, &o, nil, kind, body, e.Status)
					})
				}
			}
		}
	}
}

// tryReading asks with the least that is needed, and with all examples.
func (d *description) tryReading(t *testing.T, path string, o *operation) {
	w := describedWorld(t)
	requests := o.Requests
	if requests == nil {
		least, all := map[string]string{}, map[string]string{}
		for _, p := range o.Parameters {
			if p.In != "query" || p.Example == nil {
				continue
			}
			all[p.Name] = fmt.Sprint(p.Example)
			if p.Required {
				least[p.Name] = fmt.Sprint(p.Example)
			}
		}
		requests = []request{{Query: least}, {Query: all}}
	}
	for _, r := range requests {
		d.try(t, w, http.MethodGet, path, o, r.Query, "", "", r.Status)
	}
}

// try makes one request, and compares the answer with its description.
func (d *description) try(t *testing.T, w *world, method, path string, o *operation, query map[string]string, kind, body string, want int) {
	t.Helper()
	if want == 0 {
		want = http.StatusOK
	}
	values := url.Values{}
	for name, value := range query {
		values.Set(name, value)
	}
	headers := http.Header{}
	if kind != "" {
		headers.Set("Content-Type", kind)
	}
	for _, p := range o.Parameters {
		switch {
		case p.In == "path":
			path = strings.ReplaceAll(path, "{"+p.Name+"}", fmt.Sprint(p.Example))
		case p.In == "header" && p.Example != nil && (kind != asJSON || p.Required):
			headers.Set(p.Name, fmt.Sprint(p.Example))
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+w.nodes["a"].address+path+"?"+values.Encode(), strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = headers
	response, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.StatusCode != want {
		t.Fatalf("%s %s %s answers %d, want %d: %s", method, r.URL, body, response.StatusCode, want, text)
	}
	answered, ok := o.Responses[strconv.Itoa(want)]
	if !ok {
		t.Fatalf("%s %s: %d is not described", method, path, want)
	}
	if answered.Ref != "" {
		answered = d.Components.Responses[answered.Ref[strings.LastIndexByte(answered.Ref, '/')+1:]]
	}
	is, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	content, ok := answered.Content[is]
	if err != nil || !ok {
		t.Fatalf("%s %s: %d is answered as %s, which is not described", method, path, want, is)
	}
	if is != asJSON {
		return
	}
	var v any
	if err := json.Unmarshal(text, &v); err != nil {
		t.Fatal(err)
	}
	if wrong := d.check(content.Schema, v, "answer"); len(wrong) > 0 {
		t.Errorf("%s %s: %s\n%s", method, r.URL, strings.Join(wrong, "\n"), text)
	}
}

// describedWorld is what the examples are about: pay is limited, its Charge is off for web, and a call was refused.
func describedWorld(t *testing.T) *world {
	t.Helper()
	w := govern(t, "a", "b")
	a := w.nodes["a"]
	if got := a.putRules("*", payLimit); got.Status != http.StatusOK {
		t.Fatalf("got %+v", got)
	}
	if got := a.turn(`{"action": "off", "module": "pay", "method": "Charge", "caller": "web", "reason": "r", "for_seconds": 3600}`); got.Status != http.StatusOK {
		t.Fatalf("got %+v", got)
	}
	a.governed.call("web", "pay", "Charge", 3)
	w.nodes["b"].governed.call("web", "pay", "Charge", 3)
	w.nodes["b"].governed.refuses(4711, "web", "Charge", "off:pay.Charge:web")
	a.governed.hold(alarm.Alarm{Kind: "module_absent", Subject: "book", Text: "nobody serves book", Labels: map[string]string{"x": "y"}})
	a.wantAlarm("module_absent")
	a.governed.serve("pay", 1, nil)
	return w
}
