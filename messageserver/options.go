package messageserver

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/twohop/twohop/messageserver/internal/ids"
	"github.com/twohop/twohop/proto/wire"
)

// Options configure a node. The zero value is a node on loopback that asks for no secrets. The tags are the keys of the
// configuration file.
type Options struct {
	// Node is the node's name in the mesh, unique. Default "node-1".
	Node string `yaml:"node"`
	// Number is the node's number in the mesh, 0 to 511, unique; it is part of every id that the node makes.
	Number int `yaml:"number"`
	// Mesh is the name of the mesh. Default "default".
	Mesh string `yaml:"mesh"`
	// Listen is where modules connect: host:port or unix:/path. Port 0 takes a free one. Default 127.0.0.1:7070.
	Listen string `yaml:"listen"`
	// Advertise is the address that modules are told for this node. Default: where it listens.
	Advertise string `yaml:"advertise"`
	// DataDir is the folder for what must outlive the node: its incarnation, the rules, what was counted, who changed what. It is
	// made if it is missing, and is this node's alone. Needed with Peers.MembersFile; without it nothing is kept. Default "".
	DataDir string `yaml:"data_dir"`
	// Keeper is the node that keeps, in its DataDir, what must outlive nodes: the rules. It is the same for all nodes of a mesh. A
	// node that is alone is its own. In a mesh that has neither a keeper nor Redis the rules cannot change. Default "".
	Keeper string `yaml:"keeper"`
	// DrainTimeout bounds how long a stop waits for sessions to leave. Default 10 s.
	DrainTimeout time.Duration `yaml:"drain_timeout"`

	Admin   AdminOptions   `yaml:"admin"`
	Auth    AuthOptions    `yaml:"auth"`
	Session SessionOptions `yaml:"session"`
	Calls   CallOptions    `yaml:"calls"`
	Peers   PeerOptions    `yaml:"peers"`
	Redis   RedisOptions   `yaml:"redis"`
	Rules   RuleOptions    `yaml:"rules"`
	Stats   StatsOptions   `yaml:"stats"`
	Alarms  AlarmOptions   `yaml:"alarms"`

	// Listener takes the place of Listen, for programs that embed a node. The node closes it.
	Listener net.Listener `yaml:"-"`
	// Troubles returns what the program that runs the node wants its operators to hear, with the node's own alarms; Peer is what
	// it is about. It must not block. Default: nothing.
	Troubles func() []Trouble `yaml:"-"`
	// Log takes events. Default slog.Default.
	Log *slog.Logger `yaml:"-"`
}

// AdminOptions configure the operators' listener.
type AdminOptions struct {
	// Listen is host:port, loopback only. Port 0 takes a free one. Default 127.0.0.1:7071; "off" opens none.
	Listen string `yaml:"listen"`
}

// AuthOptions say who may log in.
type AuthOptions struct {
	// Mode is none (loopback and unix sockets only) or secret. Default none.
	Mode string `yaml:"mode"`
	// Modules are the secrets of modules, for mode secret.
	Modules []ModuleSecret `yaml:"modules"`
}

// ModuleSecret is one secret of one module. A module may have two while its secret is changed.
type ModuleSecret struct {
	Module string `yaml:"module"`
	KeyID  uint32 `yaml:"key_id"`
	// Secret has at least 16 bytes; generated ones only, because logins are cheap to try.
	Secret Secret `yaml:"secret"`
}

// Secret is text that is never shown: String, logs and printed configurations have *** in its place.
type Secret string

// String returns ***, or nothing for an empty secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return "***"
}

// GoString returns what String does.
func (s Secret) GoString() string { return s.String() }

// MarshalText returns what String does.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalYAML returns what String does.
func (s Secret) MarshalYAML() (any, error) { return s.String(), nil }

// LogValue returns what String does.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// SessionOptions bound sessions.
type SessionOptions struct {
	// LoginTimeout is the time from accept to WELCOME. Default 5 s.
	LoginTimeout time.Duration `yaml:"login_timeout"`
	// Heartbeat is the silence after which a long session is pinged. Default 5 s.
	Heartbeat time.Duration `yaml:"heartbeat"`
	// Dead is the silence after which it is closed. Default 12 s.
	Dead time.Duration `yaml:"dead"`
	// CallerQueue is what may wait for a caller, in bytes. Default 4 MiB.
	CallerQueue int `yaml:"caller_queue_bytes"`
	// ServerQueue is what may wait for a server, in bytes. Default 8 MiB.
	ServerQueue int `yaml:"server_queue_bytes"`
	// MaxMessage bounds a message, in bytes. Default and most 16 MiB.
	MaxMessage int `yaml:"max_message_bytes"`
	// MaxInFlight bounds the calls in flight of one session. Default 1,024.
	MaxInFlight int `yaml:"max_in_flight"`
	// MaxPending bounds the connections of one address that are not logged in. Default 32.
	MaxPending int `yaml:"max_pending_per_address"`
	// LoginsPerSecond bounds the logins of the node. Default 500.
	LoginsPerSecond int `yaml:"logins_per_second"`
}

// CallOptions bound calls.
type CallOptions struct {
	// DefaultTimeout is the budget of calls that bring none to a method whose contract names none. Default 10 s.
	DefaultTimeout time.Duration `yaml:"default_timeout"`
	// MaxInFlight bounds the calls in flight of the node. Default 200,000.
	MaxInFlight int `yaml:"max_in_flight"`
	// MaxKept bounds the memory of requests that are kept for another attempt, in bytes. Default 256 MiB.
	MaxKept int64 `yaml:"max_kept_bytes"`
	// RetryPercent is how many retries a hundred calls of one caller to one module earn. Default 10.
	RetryPercent int `yaml:"retry_percent"`
}

// WithDefaults returns the options that are in effect.
func (o Options) WithDefaults() Options {
	def(&o.Node, "node-1")
	def(&o.Mesh, "default")
	def(&o.Listen, "127.0.0.1:7070")
	def(&o.DrainTimeout, 10*time.Second)
	def(&o.Admin.Listen, "127.0.0.1:7071")
	def(&o.Auth.Mode, "none")
	def(&o.Session.LoginTimeout, 5*time.Second)
	def(&o.Session.Heartbeat, 5*time.Second)
	def(&o.Session.Dead, 12*time.Second)
	def(&o.Session.CallerQueue, 4<<20)
	def(&o.Session.ServerQueue, 8<<20)
	def(&o.Session.MaxMessage, wire.MaxMessage)
	def(&o.Session.MaxInFlight, 1024)
	def(&o.Session.MaxPending, 32)
	def(&o.Session.LoginsPerSecond, 500)
	def(&o.Calls.DefaultTimeout, 10*time.Second)
	def(&o.Calls.MaxInFlight, 200_000)
	def(&o.Calls.MaxKept, 256<<20)
	def(&o.Calls.RetryPercent, 10)
	def(&o.Peers.Listen, "127.0.0.1:7072")
	def(&o.Redis.Prefix, "twohop")
	def(&o.Stats.MaxSubjects, 10_000)
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

func def[T comparable](v *T, byDefault T) {
	var zero T
	if *v == zero {
		*v = byDefault
	}
}

// Validate lists everything that is wrong with the options, each by the key of the configuration file.
func (o Options) Validate() error {
	o = o.WithDefaults()
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", key, fmt.Sprintf(format, args...)))
	}
	if err := wire.CheckName("node", o.Node); err != nil || wire.Reserved(o.Node) {
		bad("node", "%q is not a name: A-Z a-z 0-9 _ : . -, 1 to 127 bytes, not beginning with _", o.Node)
	}
	if err := wire.CheckName("mesh", o.Mesh); err != nil {
		bad("mesh", "%q is not a name: A-Z a-z 0-9 _ : . -, 1 to 127 bytes", o.Mesh)
	}
	if o.Number < 0 || o.Number > maxNodeNumber {
		bad("number", "is %d, must be 0 to %d", o.Number, maxNodeNumber)
	}
	local, err := checkListen(o.Listen)
	if err != nil {
		bad("listen", "%v", err)
	}
	if o.Advertise != "" {
		if err := checkAdvertise(o.Advertise); err != nil {
			bad("advertise", "%v", err)
		}
	}
	if o.Admin.Listen != "off" {
		adminLocal, err := checkListen(o.Admin.Listen)
		switch {
		case err != nil:
			bad("admin.listen", "%v", err)
		case !adminLocal || strings.HasPrefix(o.Admin.Listen, "unix:"):
			bad("admin.listen", "%q is not a loopback address: operators come in on the machine itself", o.Admin.Listen)
		}
	}
	switch o.Auth.Mode {
	case "none":
		if err == nil && !local {
			bad("auth.mode", "none is for loopback and unix sockets only, and listen is %q: use secret", o.Listen)
		}
		if len(o.Auth.Modules) > 0 {
			bad("auth.modules", "stands beside mode none: use mode secret, or leave the modules out")
		}
	case "secret":
		errs = append(errs, o.Auth.validateModules()...)
	default:
		bad("auth.mode", "is %q, must be none or secret", o.Auth.Mode)
	}
	errs = append(errs, o.validatePeers()...)
	errs = append(errs, o.validateKeeping()...)
	for _, d := range []struct {
		key string
		v   time.Duration
	}{
		{"drain_timeout", o.DrainTimeout}, {"session.login_timeout", o.Session.LoginTimeout},
		{"session.heartbeat", o.Session.Heartbeat}, {"session.dead", o.Session.Dead}, {"calls.default_timeout", o.Calls.DefaultTimeout},
	} {
		if d.v < 0 || d.v > time.Hour {
			bad(d.key, "is %v, must be more than 0 and at most 1h", d.v)
		}
	}
	if o.Session.Dead <= o.Session.Heartbeat {
		bad("session.dead", "is %v, must be more than session.heartbeat, which is %v", o.Session.Dead, o.Session.Heartbeat)
	}
	for _, n := range []struct {
		key         string
		v, min, max int
	}{
		{"session.caller_queue_bytes", o.Session.CallerQueue, 64 << 10, 1 << 30},
		{"session.server_queue_bytes", o.Session.ServerQueue, 64 << 10, 1 << 30},
		{"session.max_message_bytes", o.Session.MaxMessage, 64 << 10, wire.MaxMessage},
		{"session.max_in_flight", o.Session.MaxInFlight, 1, 1 << 20},
		{"session.max_pending_per_address", o.Session.MaxPending, 1, 1 << 20},
		{"session.logins_per_second", o.Session.LoginsPerSecond, 1, 1 << 20},
		{"calls.max_in_flight", o.Calls.MaxInFlight, 1, 1 << 24},
		{"calls.max_kept_bytes", int(o.Calls.MaxKept), 1 << 20, 1 << 36},
		{"calls.retry_percent", o.Calls.RetryPercent, 1, 100},
	} {
		if n.v < n.min || n.v > n.max {
			bad(n.key, "is %d, must be %d to %d", n.v, n.min, n.max)
		}
	}
	return errors.Join(errs...)
}

// maxNodeNumber leaves the upper half of the ids' 10 bits to makers that are not nodes.
const maxNodeNumber = (ids.MaxNumber+1)/2 - 1

func (a AuthOptions) validateModules() (errs []error) {
	if len(a.Modules) == 0 {
		errs = append(errs, errors.New("auth.modules: mode secret needs at least one module"))
	}
	seen := make(map[string]map[uint32]bool)
	for i, m := range a.Modules {
		at := fmt.Sprintf("auth.modules[%d]", i)
		if err := wire.CheckName("module", m.Module); err != nil || wire.Reserved(m.Module) {
			errs = append(errs, fmt.Errorf("%s.module: %q is not a module's name", at, m.Module))
		}
		if len(m.Secret) < 16 {
			errs = append(errs, fmt.Errorf("%s.secret: has %d bytes, must have at least 16", at, len(m.Secret)))
		}
		if seen[m.Module] == nil {
			seen[m.Module] = make(map[uint32]bool)
		}
		if seen[m.Module][m.KeyID] {
			errs = append(errs, fmt.Errorf("%s.key_id: %d stands twice for module %q", at, m.KeyID, m.Module))
		}
		seen[m.Module][m.KeyID] = true
		if len(seen[m.Module]) > 2 {
			errs = append(errs, fmt.Errorf("%s: module %q has more than two secrets", at, m.Module))
		}
	}
	return errs
}

// checkListen reports whether an address is one of this machine only.
func checkListen(address string) (local bool, err error) {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if path == "" {
			return false, errors.New(`"unix:" has no path`)
		}
		return true, nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return false, fmt.Errorf("%q is not host:port or unix:/path", address)
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return false, fmt.Errorf("%q has no port from 0 to 65535", address)
	}
	if host == "localhost" {
		return true, nil
	}
	ip, err := netip.ParseAddr(host)
	if err != nil && host != "" {
		return false, fmt.Errorf("%q is neither an IP address nor localhost: a name could mean another machine tomorrow", host)
	}
	return ip.IsLoopback(), nil
}

// checkAdvertise wants an address that modules can dial; here a name is fine.
func checkAdvertise(address string) error {
	if path, ok := strings.CutPrefix(address, "unix:"); ok && path != "" {
		return nil
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || port == "" || port == "0" {
		return fmt.Errorf("%q is not an address that modules can dial: host:port or unix:/path", address)
	}
	return nil
}
