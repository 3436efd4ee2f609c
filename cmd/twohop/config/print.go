package config

import (
	"fmt"
	"io"
	"reflect"

	"go.yaml.in/yaml/v3"

	"github.com/twohop/twohop/messageserver"
)

// Print writes what is in effect as YAML, with the origin of each value as a comment. Secrets are hidden.
func (c *Config) Print(w io.Writer) error {
	document := c.node(reflect.ValueOf(c.Options.WithDefaults()), "")
	document.HeadComment = "What is in effect, and where it comes from: default, file:line, variable or flag."
	encoder := yaml.NewEncoder(w)
	encoder.SetIndent(2)
	if err := encoder.Encode(document); err != nil {
		return err
	}
	return encoder.Close()
}

func (c *Config) node(v reflect.Value, name string) *yaml.Node {
	switch {
	case v.Kind() == reflect.Struct:
		n := &yaml.Node{Kind: yaml.MappingNode}
		for i := range v.NumField() {
			key := tag(v.Type().Field(i))
			if key == "" {
				continue
			}
			value := c.node(v.Field(i), join(name, key))
			head := &yaml.Node{Kind: yaml.ScalarNode, Value: key}
			n.Content = append(n.Content, head, value)
		}
		return n
	case v.Kind() == reflect.Slice:
		n := &yaml.Node{Kind: yaml.SequenceNode}
		for i := range v.Len() {
			n.Content = append(n.Content, c.node(v.Index(i), fmt.Sprintf("%s[%d]", name, i)))
		}
		if v.Len() == 0 {
			n.Style, n.LineComment = yaml.FlowStyle, c.places[name].String()
		}
		return n
	}
	n := &yaml.Node{Kind: yaml.ScalarNode, LineComment: c.places[name].String()}
	switch x := v.Interface().(type) {
	case messageserver.Secret:
		n.SetString(x.String())
	case string:
		n.SetString(x)
		if x == "" {
			n.Style = yaml.DoubleQuotedStyle
		}
	case fmt.Stringer: // a time
		n.Value = x.String()
	default:
		n.Value = fmt.Sprint(x)
	}
	return n
}
