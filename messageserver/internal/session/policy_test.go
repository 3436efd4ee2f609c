package session

import (
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"

	"google.golang.org/protobuf/proto"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/internal/testkit"
	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

// rulebook is a Governor with rules for servers only.
type rulebook struct {
	governance.NoRules
	mu           sync.Mutex
	mark         governance.Mark
	restrictions map[string][]governance.Restriction
}

func (b *rulebook) Restrictions(module string) (governance.Mark, []governance.Restriction) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mark, b.restrictions[module]
}

func (b *rulebook) turn(version uint64, restrictions map[string][]governance.Restriction) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mark, b.restrictions = governance.Mark{Epoch: 1, Version: version}, restrictions
}

func (m *module) wantPolicy(version uint64) *pb.Policy {
	m.n.t.Helper()
	f := m.want(wire.KindPolicy)
	p, err := wire.ReadPolicy(&f)
	if err != nil {
		m.n.t.Fatal(err)
	}
	if p.GetEpoch() != 1 || p.GetVersion() != version {
		m.n.t.Fatalf("policy of %d/%d, want 1/%d", p.GetEpoch(), p.GetVersion(), version)
	}
	return p
}

func (m *module) enforce(version uint64) {
	m.send(header(wire.KindPolicyOK, &pb.PolicyOk{Epoch: 1, Version: version}))
	synctest.Wait()
}

func (n *node) wantEnforcing(module string, version uint64, servers, enforcing int) {
	n.t.Helper()
	if s, e := n.sessions.Enforcing(module, governance.Mark{Epoch: 1, Version: version}); s != servers || e != enforcing {
		n.t.Errorf("%d of %d servers of %q enforce version %d, want %d of %d", e, s, module, version, enforcing, servers)
	}
}

func TestServersAreToldTheirPolicy(t *testing.T) {
	book := &rulebook{}
	book.turn(1, nil)
	story(t, func(n *node) {
		web := n.caller("web")
		pay := n.login(loginOf("pay", "pay-1", pb.Role_ROLE_SERVER, "Move"), testkit.PipeOptions{})
		if p := pay.wantPolicy(1); len(p.GetRestrictions()) != 0 {
			t.Errorf("%v, want nothing", p)
		}
		n.wantEnforcing("pay", 1, 1, 0)
		pay.enforce(1)
		rank := n.login(loginOf("rank", "rank-1", pb.Role_ROLE_BOTH, "Add"), testkit.PipeOptions{})
		rank.wantPolicy(1)
		rank.enforce(1)
		n.wantEnforcing("", 1, 2, 2)
		n.wantEnforcing("pay", 2, 1, 0)

		book.turn(2, map[string][]governance.Restriction{"pay": {
			{RuleID: "r-off", Method: "Move", Caller: "web", Off: &governance.Off{Share: 1, Fallback: []byte("no"), FallbackType: "text/plain"}},
			{RuleID: "r-from", Shadow: true, Addresses: &governance.Addresses{
				Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Deny: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
			}},
			{RuleID: "r-key", Method: "Move", Password: []governance.Key{{ID: 7, Secret: []byte("a secret of some length")}}},
			{RuleID: "r-rate", Rate: &governance.Rate{PerSecond: 0.5, Burst: 2}},
			{RuleID: "r-late", Late: governance.LateDiscard},
			{RuleID: "r-run", Method: "Move", Late: governance.LateRun},
		}})
		n.sessions.RulesChanged()
		want := &pb.Policy{Epoch: 1, Version: 2, Restrictions: []*pb.Restriction{
			{RuleId: "r-off", Method: "Move", Caller: "web", Kind: &pb.Restriction_Off{Off: &pb.Off{FallbackBody: []byte("no"), FallbackType: "text/plain"}}},
			{RuleId: "r-from", Shadow: true, Kind: &pb.Restriction_Addresses{Addresses: &pb.Addresses{AllowCidr: []string{"10.0.0.0/8"}, DenyCidr: []string{"10.1.0.0/16"}}}},
			{RuleId: "r-key", Method: "Move", Kind: &pb.Restriction_Passwords{Passwords: &pb.Passwords{Keys: []*pb.Key{{KeyId: 7, Secret: []byte("a secret of some length")}}}}},
			{RuleId: "r-rate", Kind: &pb.Restriction_Rate{Rate: &pb.Rate{PerSecond: 0.5, Burst: 2}}},
			{RuleId: "r-late", Kind: &pb.Restriction_Late{Late: pb.Late_LATE_DISCARD}},
			{RuleId: "r-run", Method: "Move", Kind: &pb.Restriction_Late{Late: pb.Late_LATE_RUN}},
		}}
		if p := pay.wantPolicy(2); !proto.Equal(p, want) {
			t.Errorf("pay is told %v, want %v", p, want)
		}
		if p := rank.wantPolicy(2); len(p.GetRestrictions()) != 0 {
			t.Errorf("rank is told %v, which is not about it", p)
		}
		rank.enforce(2)
		n.wantEnforcing("", 2, 2, 1)
		pay.enforce(2)
		n.wantEnforcing("", 2, 2, 2)

		web.send(request(1, "pay.Move"))
		pay.answer(pay.wantRequest(), wire.OK, "")
		web.wantAnswer(1, wire.OK) // the first that a caller hears: it is told no policy
	}, func(o *Options) { o.Governor = book })
}

// TestAChangeDuringALoginIsTold changes the rules while the policy of a login is made.
func TestAChangeDuringALoginIsTold(t *testing.T) {
	book := &moving{}
	book.turn(1, nil)
	story(t, func(n *node) {
		book.during = func() {
			book.during = nil
			book.turn(2, nil)
			n.sessions.RulesChanged()
			synctest.Wait()
		}
		pay := n.login(loginOf("pay", "pay-1", pb.Role_ROLE_SERVER, "Move"), testkit.PipeOptions{})
		pay.wantPolicy(1)
		pay.wantPolicy(2)
	}, func(o *Options) { o.Governor = book })
}

// moving is a rulebook that changes after it was read.
type moving struct {
	rulebook
	during func()
}

func (m *moving) Restrictions(module string) (governance.Mark, []governance.Restriction) {
	mark, all := m.rulebook.Restrictions(module)
	if m.during != nil {
		m.during()
	}
	return mark, all
}

// TestAServerThatDoesNotReadIsToldTheNewestPolicy fills its queue with policies.
func TestAServerThatDoesNotReadIsToldTheNewestPolicy(t *testing.T) {
	book := &rulebook{}
	book.turn(1, nil)
	story(t, func(n *node) {
		pay := n.login(loginOf("pay", "pay-1", pb.Role_ROLE_SERVER, "Move"), testkit.PipeOptions{Buffer: 4 << 10})
		pay.wantPolicy(1)
		pay.enforce(1)
		large := make([]governance.Restriction, 15)
		for i := range large {
			large[i] = governance.Restriction{RuleID: "r", Off: &governance.Off{Share: 1, Fallback: make([]byte, 60<<10)}}
		}
		const last = 14
		for version := uint64(2); version <= last; version++ {
			book.turn(version, map[string][]governance.Restriction{"pay": large})
			n.sessions.RulesChanged()
			synctest.Wait()
		}
		for told := uint64(1); told < last; {
			f := pay.want(wire.KindPolicy)
			p, err := wire.ReadPolicy(&f)
			if err != nil || p.GetVersion() <= told {
				t.Fatalf("told version %d after %d: %v", p.GetVersion(), told, err)
			}
			told = p.GetVersion()
		}
	}, func(o *Options) { o.Governor = book })
}

// TestAPolicyThatFitsNoFrame is told as far as its mark.
func TestAPolicyThatFitsNoFrame(t *testing.T) {
	book := &rulebook{}
	story(t, func(n *node) {
		book.turn(1, map[string][]governance.Restriction{"pay": make([]governance.Restriction, wire.MaxRestrictions+1)})
		pay := n.login(loginOf("pay", "pay-1", pb.Role_ROLE_SERVER, "Move"), testkit.PipeOptions{})
		if p := pay.wantPolicy(1); len(p.GetRestrictions()) != 0 {
			t.Errorf("%d restrictions", len(p.GetRestrictions()))
		}
	}, func(o *Options) { o.Governor = book })
}
