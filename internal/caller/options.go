package caller

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// Options say who a module is and where it logs in.
type Options struct {
	// Addresses are the nodes: host:port, or unix:/path. One of them may name several, with commas.
	Addresses []string
	// Login is what the module says about itself. Versions, uuid, instance, stamp and methods are filled in.
	Login *pb.Login
	// Secret proves who the module is. Empty: the node must not ask.
	Secret string
	// Timeout bounds calls that bring no other bound. Default 10 s.
	Timeout time.Duration
	// Queue bounds what waits to be written on a session, in bytes. Default 64 MiB: one message of 16 MiB must not have
	// the small ones behind it refused.
	Queue int
	// Server takes requests, in the roles server and both.
	Server Server
	// Connections is how many sessions are kept open, with as many nodes. Default 1.
	Connections int
	// Dial replaces the dialing of an address.
	Dial func(ctx context.Context, address string) (net.Conn, error)
	// Logger gets one line per change of a session. Default: slog.Default.
	Logger *slog.Logger
	// OnConnect and OnDisconnect hear of each session, one after the other; those of different sessions may run at once.
	OnConnect    func(Connection)
	OnDisconnect func(Connection, error)

	// Changed by tests that lose very many sessions.
	backoffStep, settled time.Duration
}

// Connection is a session as hooks see it.
type Connection struct {
	Address string // as dialed
	Node    string
	Mesh    string
	Session uint64
}

const (
	defaultTimeout = 10 * time.Second
	dialTimeout    = 5 * time.Second
	dialQuickly    = 2 * time.Second // while there are other addresses to try
	loginTimeout   = 5 * time.Second
	loginQuickly   = 2 * time.Second // the same
	maxConnections = 4
	maxWaiting     = 1024    // calls that wait for a session
	maxWaitingSize = 4 << 20 // bytes of them
	defaultQueue   = 64 << 20
	pingAfter      = 6 * time.Second
	deadAfter      = 12 * time.Second
	sdkName        = "twohop-go/1"
)

// resolve fills in defaults and checks everything.
func (o *Options) resolve() error {
	var problems []error
	addresses, err := splitAddresses(o.Addresses)
	if err != nil {
		problems = append(problems, err)
	}
	o.Addresses = addresses
	login := &pb.Login{}
	if o.Login != nil {
		login = proto.CloneOf(o.Login)
	}
	login.VersionMin, login.VersionMax = wire.MinVersion, wire.Version
	login.Features = wire.FeatureNodes
	login.InstanceUuid = rand.Text()
	login.Sdk = sdkName
	if login.GetInstance() == "" {
		login.Instance = instanceName()
	}
	if err := wire.CheckLogin(login); err != nil {
		problems = append(problems, err)
	}
	o.Login = login
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Timeout < 0 {
		problems = append(problems, fmt.Errorf("timeout is %s, must be positive", o.Timeout))
	}
	if o.Connections == 0 {
		o.Connections = 1
	}
	if o.Connections < 0 || o.Connections > maxConnections {
		problems = append(problems, fmt.Errorf("connections is %d, must be 1 to %d", o.Connections, maxConnections))
	}
	if o.Queue == 0 {
		o.Queue = defaultQueue
	}
	if o.backoffStep == 0 {
		o.backoffStep, o.settled = backoffStep, settled
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Dial == nil {
		o.Dial = dial
	}
	return errors.Join(problems...)
}

// splitAddresses returns the single addresses of a list whose entries may hold several.
func splitAddresses(list []string) ([]string, error) {
	var addresses []string
	var problems []error
	for _, entry := range list {
		for address := range strings.SplitSeq(entry, ",") {
			address = strings.TrimSpace(address)
			if address == "" {
				continue
			}
			if err := checkAddress(address); err != nil {
				problems = append(problems, err)
			}
			addresses = append(addresses, address)
		}
	}
	if len(addresses) == 0 {
		problems = append(problems, errors.New("no address is given"))
	}
	return addresses, errors.Join(problems...)
}

func checkAddress(address string) error {
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		if path == "" {
			return fmt.Errorf("address %q has no path", address)
		}
		return nil
	}
	if _, port, err := net.SplitHostPort(address); err != nil || port == "" {
		return fmt.Errorf("address %q must be host:port or unix:/path", address)
	}
	return nil
}

func dial(ctx context.Context, address string) (net.Conn, error) {
	var d net.Dialer
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		return d.DialContext(ctx, "unix", path)
	}
	return d.DialContext(ctx, "tcp", address)
}

// instanceName returns a name that no other process has: host, process id and a random part.
func instanceName() string {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "host"
	}
	clean := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-', r == '_':
			return r
		}
		return '-'
	}, host)
	return fmt.Sprintf("%.80s-%d-%s", clean, os.Getpid(), strings.ToLower(rand.Text()[:6]))
}
