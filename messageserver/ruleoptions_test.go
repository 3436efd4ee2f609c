package messageserver

import (
	"strings"
	"testing"
)

func TestWhereThingsAreKept(t *testing.T) {
	mesh := func(o *Options) {
		o.DataDir, o.Peers.MembersFile = "data", "members.yaml"
	}
	for name, c := range map[string]struct {
		edit []func(*Options)
		want string // "" is no problem
	}{
		"nothing":                       {nil, ""},
		"a node alone is its own":       {[]func(*Options){func(o *Options) { o.Keeper = "node-1" }}, ""},
		"alone with a keeper elsewhere": {[]func(*Options){func(o *Options) { o.Keeper = "b" }}, `keeper: is "b", and this node, "node-1", has no other nodes: leave it out, or name the members`},
		"no name":                       {[]func(*Options){mesh, func(o *Options) { o.Keeper = "a b" }}, `keeper: "a b" is not the name of a node: A-Z a-z 0-9 _ : . -, 1 to 127 bytes`},
		"keeper elsewhere":              {[]func(*Options){mesh, func(o *Options) { o.Keeper = "b" }}, ""},
		"keeper and redis": {[]func(*Options){mesh, func(o *Options) { o.Keeper, o.Redis.Addresses = "b", []string{"127.0.0.1:6379"} }},
			"keeper: stands beside redis.addresses: what one of them keeps the other one does not"},
		"redis by no address": {[]func(*Options){func(o *Options) { o.Redis.Addresses = []string{"127.0.0.1:6379", "localhost"} }}, `redis.addresses[1]: "localhost" is not host:port, nor the path of a socket`},
		"redis by a socket":   {[]func(*Options){func(o *Options) { o.Redis.Addresses, o.Redis.DB = []string{"/run/redis.sock"}, 3 }}, ""},
		"db of a cluster":     {[]func(*Options){func(o *Options) { o.Redis.Addresses, o.Redis.DB = []string{"a:1", "b:1"}, 3 }}, "redis.db: is 3, must be 0 or more, and 0 for a cluster"},
		"file of a node that is not the keeper": {[]func(*Options){mesh, func(o *Options) { o.Keeper, o.Rules.WatchFile = "b", "rules.yaml" }},
			"rules.watch_file: is read by the keeper of the mesh, which is b and not this node: give it to that one"},
		"file of the keeper":    {[]func(*Options){mesh, func(o *Options) { o.Keeper, o.Rules.WatchFile = "node-1", "rules.yaml" }}, ""},
		"file beside redis":     {[]func(*Options){mesh, func(o *Options) { o.Redis.Addresses, o.Rules.WatchFile = []string{"a:1"}, "rules.yaml" }}, ""},
		"few subjects":          {[]func(*Options){func(o *Options) { o.Stats.MaxSubjects = 3 }}, "stats.max_subjects: is 3, must be 100 to 1000000"},
		"alertmanager by name":  {[]func(*Options){func(o *Options) { o.Alarms.Alertmanager = []string{"am:9093"} }}, `alarms.alertmanager[0]: "am:9093" is not a URL as http://host:port`},
		"webhook with a secret": {[]func(*Options){func(o *Options) { o.Alarms.Webhook = "hooks/0123" }}, "alarms.webhook: is not a URL as https://host/path"},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{}
			for _, edit := range c.edit {
				edit(&o)
			}
			got := ""
			if err := o.Validate(); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got  %q\nwant %q", strings.ReplaceAll(got, "\n", " | "), c.want)
			}
		})
	}
}
