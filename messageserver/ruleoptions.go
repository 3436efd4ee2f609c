package messageserver

import (
	"fmt"
	"net"
	"net/url"
	"strings"

	"github.com/twohop/twohop/proto/wire"
)

// RedisOptions say which Redis a mesh keeps in what must outlive its nodes. Without addresses there is none, and one node of the
// mesh is the keeper.
type RedisOptions struct {
	// Addresses are host:port. One is a server, several are a cluster; with Master they are sentinels.
	Addresses []string `yaml:"addresses"`
	// Username and Password are what the node logs in with. Default: it does not.
	Username string `yaml:"username"`
	Password Secret `yaml:"password"`
	// DB is the number of the database, not of a cluster. Default 0.
	DB int `yaml:"db"`
	// Master is the name that sentinels watch.
	Master string `yaml:"master"`
	// Prefix begins every key. Default "twohop".
	Prefix string `yaml:"prefix"`
}

// RuleOptions say where rules come from, besides operators.
type RuleOptions struct {
	// WatchFile is a document that operators keep elsewhere, in git perhaps; the keeper watches it and takes what is new in it, and
	// so does every node where Redis keeps the rules. Default: none.
	WatchFile string `yaml:"watch_file"`
}

// StatsOptions bound what is counted.
type StatsOptions struct {
	// MaxSubjects is how many (caller, module, method) are counted apart; what comes on top shares a row. Default 10,000.
	MaxSubjects int `yaml:"max_subjects"`
}

// AlarmOptions say who hears of alarms. They are listed at the operators' listener in any case.
type AlarmOptions struct {
	// Alertmanager has base URLs, as http://10.0.0.5:9093.
	Alertmanager []string `yaml:"alertmanager"`
	// Webhook is a URL that alarms are posted to.
	Webhook Secret `yaml:"webhook"`
}

// keepsOwn reports whether the node itself keeps what must outlive nodes, in its DataDir.
func (o Options) keepsOwn() bool {
	return len(o.Redis.Addresses) == 0 && (o.Keeper == o.Node || o.Keeper == "" && !o.inMesh())
}

// validateKeeping lists what is wrong with where things are kept.
func (o Options) validateKeeping() (errs []error) {
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	if o.Keeper != "" {
		switch {
		case wire.CheckName("keeper", o.Keeper) != nil:
			bad("keeper", "%q is not the name of a node: A-Z a-z 0-9 _ : . -, 1 to 127 bytes", o.Keeper)
		case len(o.Redis.Addresses) > 0:
			bad("keeper", "stands beside redis.addresses: what one of them keeps the other one does not")
		case !o.inMesh() && o.Keeper != o.Node:
			bad("keeper", "is %q, and this node, %q, has no other nodes: leave it out, or name the members", o.Keeper, o.Node)
		case o.Keeper == o.Node && o.DataDir == "" && o.inMesh():
			bad("data_dir", "is missing: this node is the keeper of its mesh, and keeps the rules there")
		}
	}
	for i, address := range o.Redis.Addresses {
		if _, port, err := net.SplitHostPort(address); (err != nil || port == "") && !strings.HasPrefix(address, "/") {
			bad(fmt.Sprintf("redis.addresses[%d]", i), "%q is not host:port, nor the path of a socket", address)
		}
	}
	if n := o.Redis.DB; n < 0 || n > 0 && len(o.Redis.Addresses) > 1 && o.Redis.Master == "" {
		bad("redis.db", "is %d, must be 0 or more, and 0 for a cluster", n)
	}
	if o.Rules.WatchFile != "" && o.inMesh() && !o.keepsOwn() && len(o.Redis.Addresses) == 0 {
		bad("rules.watch_file", "is read by the keeper of the mesh, which is %s and not this node: give it to that one", or(o.Keeper, "not named"))
	}
	if n := o.Stats.MaxSubjects; n < 100 || n > 1_000_000 {
		bad("stats.max_subjects", "is %d, must be 100 to 1000000", n)
	}
	for i, base := range o.Alarms.Alertmanager {
		if !isURL(base) {
			bad(fmt.Sprintf("alarms.alertmanager[%d]", i), "%q is not a URL as http://host:port", base)
		}
	}
	if o.Alarms.Webhook != "" && !isURL(string(o.Alarms.Webhook)) {
		bad("alarms.webhook", "is not a URL as https://host/path")
	}
	return errs
}

func isURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
