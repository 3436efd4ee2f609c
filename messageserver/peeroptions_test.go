package messageserver

import (
	"net"
	"strings"
	"testing"
)

// inMesh are options of a node that is in a mesh and has nothing wrong.
func inMesh() Options {
	return Options{Node: "a", Number: 1, DataDir: "data", Peers: PeerOptions{MembersFile: "members.yaml"}}
}

func TestOptionsOfAMesh(t *testing.T) {
	open, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	trio := []Member{{"a", 1, "a:7072"}, {"b", 2, "b:7072"}, {"c", 3, "c:7072"}}
	embedded := func(o *Options) {
		o.DataDir, o.Peers.MembersFile, o.Peers.Members, o.Peers.Secret = "", "", trio, "0123456789abcdef"
	}
	for name, c := range map[string]struct {
		change func(o *Options)
		want   string // of the error; empty: there is none
	}{
		"nothing wrong":              {func(*Options) {}, ""},
		"alone":                      {func(o *Options) { *o = Options{} }, ""},
		"a name that means loopback": {func(o *Options) { o.Peers.Listen = "localhost:0" }, ""},
		"beyond loopback":            {func(o *Options) { o.Peers.Listen = "0.0.0.0:7072" }, "peers.secret: is missing, and nodes are awaited at 0.0.0.0:7072"},
		"beyond loopback, all ports": {func(o *Options) { o.Peers.Listen = ":7072" }, "peers.secret: is missing"},
		"beyond loopback, secret":    {func(o *Options) { o.Peers.Listen, o.Peers.Secret = "[::]:7072", "0123456789abcdef" }, ""},
		"a short secret":             {func(o *Options) { o.Peers.Secret = "0123456789abcde" }, "peers.secret: has 15 bytes, must have at least 16"},
		"a socket file":              {func(o *Options) { o.Peers.Listen = "unix:/run/peers" }, `peers.listen: "unix:/run/peers" is not host:port`},
		"no port":                    {func(o *Options) { o.Peers.Listen = "127.0.0.1" }, "peers.listen: "},
		"a host name":                {func(o *Options) { o.Peers.Listen = "node-a:7072" }, "peers.listen: "},
		"no data_dir":                {func(o *Options) { o.DataDir = "" }, "data_dir: is missing"},
		"a listener beyond loopback": {func(o *Options) { o.Peers.Listener = open }, "peers.secret: is missing, and nodes are awaited at "},
		"a listener, secret":         {func(o *Options) { o.Peers.Listener, o.Peers.Secret = open, "0123456789abcdef" }, ""},
		"embedded":                   {embedded, ""},
		"a member elsewhere":         {func(o *Options) { embedded(o); o.Peers.Secret = "" }, "peers.secret: is missing, and member a is at a:7072, which is not this machine"},
		"embedded, and a file":       {func(o *Options) { o.Peers.Members, o.Peers.Secret = trio, "0123456789abcdef" }, "peers.members_file: stands beside Options.Peers.Members"},
		"embedded, not in the list":  {func(o *Options) { embedded(o); o.Node = "d" }, `peers.members: this node, "d", is not in the list`},
		"embedded, another number":   {func(o *Options) { embedded(o); o.Number = 2 }, `peers.members: this node, "a", has the number 2, and 1 in the list`},
		"embedded, two with a number": {func(o *Options) {
			embedded(o)
			o.Peers.Members = []Member{trio[0], {"b", 2, "b:7072"}, {"c", 2, "nowhere"}}
		}, `members[2].number: 2 stands twice: first in members[1]; each node has a number of its own; members[2].address: "nowhere" is not host:port`},
	} {
		t.Run(name, func(t *testing.T) {
			o := inMesh()
			c.change(&o)
			err := o.Validate()
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("got %v, want %s", err, c.want)
			case err != nil && strings.Contains(err.Error(), "\n"):
				t.Errorf("more is wrong than was made wrong, or a problem has two lines:\n%v", err)
			case err != nil && strings.Contains(err.Error(), "0123456789abcde"):
				t.Errorf("the secret is told: %v", err)
			}
		})
	}
}
