package wire

import (
	"errors"
	"fmt"
	"strings"

	"github.com/twohop/twohop/proto/pb"
)

// MinVersion is the oldest protocol version that this package still speaks.
const MinVersion = 1

// FeatureNodes is the bit in LOGIN.features of a module that takes NODES. It is the only one that is assigned for modules.
const FeatureNodes uint64 = 1

// Limits of a login.
const (
	MaxUUID          = 64
	MaxMethods       = 1024
	MaxWeight        = 1000
	MaxNeeds         = 64
	MaxLabel         = 127       // app_version, sdk
	MaxStamp         = 1<<63 - 1 // Stamp.n
	maxLoginProblems = 8         // that are listed; the rest is counted
)

// NegotiateVersion returns the version that two sides speak whose ranges meet: the highest of both. An impossible range
// is BAD_REQUEST, ranges that do not meet are UNIMPLEMENTED; the error is an *Error.
func NegotiateVersion(lowest, highest uint32) (uint32, error) {
	if err := checkVersions(lowest, highest); err != nil {
		return 0, err
	}
	if lowest > Version || highest < MinVersion {
		return 0, &Error{Code: Unimplemented, Reason: fmt.Sprintf("versions %d to %d are offered, %d to %d are spoken here", lowest, highest, MinVersion, Version)}
	}
	return min(highest, Version), nil
}

func checkVersions(lowest, highest uint32) error {
	if lowest == 0 || lowest > highest {
		return badRequest("version_min is %d and version_max %d, must be 1 or more and in this order", lowest, highest)
	}
	return nil
}

// CheckLogin reports what is wrong with a LOGIN, all problems at once (8 in words, the rest as a number), or nil. It
// does not look at secrets, nor whether the versions are spoken here. The error is an *Error with BAD_REQUEST.
func CheckLogin(l *pb.Login) error {
	var p problems
	p.add(checkVersions(l.GetVersionMin(), l.GetVersionMax()))
	called := l.GetRole() == pb.Role_ROLE_SERVER || l.GetRole() == pb.Role_ROLE_BOTH
	if !called && l.GetRole() != pb.Role_ROLE_CALLER {
		p.addf("role is %d, must be caller, server or both", int32(l.GetRole()))
	}
	p.add(checkLoginName("module", l.GetModule()))
	if called || l.GetInstance() != "" {
		p.add(CheckName("instance", l.GetInstance()))
	}
	p.add(checkOptionalName("group", []byte(l.GetGroup())))
	p.add(checkUUID(l.GetInstanceUuid()))
	if s := l.GetStamp(); s != nil {
		if s.GetN() == 0 || s.GetN() > MaxStamp {
			p.addf("stamp.n is %d, must be 1 to %d", s.GetN(), uint64(MaxStamp))
		}
		p.add(CheckName("stamp.node", s.GetNode()))
	}
	if l.GetLifetime() != pb.Lifetime_LIFETIME_LONG && l.GetLifetime() != pb.Lifetime_LIFETIME_SHORT {
		p.addf("lifetime is %d, must be long or short", int32(l.GetLifetime()))
	}
	if l.GetRole() == pb.Role_ROLE_CALLER && len(l.GetMethods()) > 0 {
		p.addf("a caller registers no methods, has %d", len(l.GetMethods()))
	} else {
		p.addMethods(l.GetMethods())
	}
	if l.GetWeight() > MaxWeight {
		p.addf("weight is %d, must be at most %d", l.GetWeight(), MaxWeight)
	}
	p.add(checkOptionalName("zone", []byte(l.GetZone())))
	p.add(checkPrintable("app_version", []byte(l.GetAppVersion()), MaxLabel))
	p.add(checkPrintable("sdk", []byte(l.GetSdk()), MaxLabel))
	if len(l.GetNeeds()) > MaxNeeds {
		p.addf("needs has %d modules, must have at most %d", len(l.GetNeeds()), MaxNeeds)
	} else {
		for _, module := range l.GetNeeds() {
			p.add(CheckName("needs", module))
		}
	}
	return p.err()
}

// CheckMethods reports what is wrong with the methods that a server session reports, as CheckLogin does.
func CheckMethods(methods []*pb.Method) error {
	var p problems
	p.addMethods(methods)
	return p.err()
}

// Reserved reports whether a module's or a method's name belongs to nodes and SDKs.
func Reserved(name string) bool { return strings.HasPrefix(name, "_") }

// checkLoginName checks a name that a module gives itself.
func checkLoginName(what, name string) error {
	if err := CheckName(what, name); err != nil {
		return err
	}
	if Reserved(name) {
		return badRequest("%s is %q, names that begin with _ are reserved", what, clip([]byte(name)))
	}
	return nil
}

func checkUUID(uuid string) error {
	if err := CheckName("instance_uuid", uuid); err != nil {
		return err
	}
	return checkSize("instance_uuid", []byte(uuid), MaxUUID)
}

// problems collects the reasons for a refusal.
type problems struct {
	reasons []string
	more    int
}

func (p *problems) addf(format string, args ...any) { p.add(badRequest(format, args...)) }

// add takes an *Error, or nil.
func (p *problems) add(err error) {
	var problem *Error
	if !errors.As(err, &problem) {
		return
	}
	if len(p.reasons) == maxLoginProblems {
		p.more++
		return
	}
	p.reasons = append(p.reasons, problem.Reason)
}

func (p *problems) addMethods(methods []*pb.Method) {
	if len(methods) > MaxMethods {
		p.addf("methods has %d entries, must have at most %d", len(methods), MaxMethods)
		return
	}
	names := make(map[string]bool, len(methods))
	for _, m := range methods {
		switch err := CheckMethod(m.GetName()); {
		case err != nil:
			p.add(err)
		case Reserved(m.GetName()):
			p.addf("method is %q, names that begin with _ are reserved", clip([]byte(m.GetName())))
		case names[m.GetName()]:
			p.addf("method %q stands twice", clip([]byte(m.GetName())))
		}
		names[m.GetName()] = true
		if v := m.GetVisibility(); v < pb.Visibility_VISIBILITY_INTERNAL || v > pb.Visibility_VISIBILITY_ADMIN {
			p.addf("visibility of method %q is %d, must be internal, external or admin", clip([]byte(m.GetName())), int32(v))
		}
	}
}

func (p *problems) err() error {
	if len(p.reasons) == 0 {
		return nil
	}
	reason := strings.Join(p.reasons, "; ")
	if p.more > 0 {
		reason += fmt.Sprintf("; and %d more", p.more)
	}
	return &Error{Code: BadRequest, Reason: reason}
}
