package rulestore

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/governance/rules"
)

const (
	refusalsKept = 16 << 10         // refused calls
	refusalsPart = 1 << 10          // of them are allocated at once, when they are first needed
	refusalsAge  = 10 * time.Minute // how long one is shown
	refusalsShow = 100              // if the filter gives no limit
)

// refusals is a ring of the last calls that were refused. Safe for concurrent use; the zero value is ready.
type refusals struct {
	next  atomic.Uint64 // the number of the next one, 0 the first
	parts [refusalsKept / refusalsPart]atomic.Pointer[[refusalsPart]refused]
}

// refused is one place of the ring.
type refused struct {
	mu sync.Mutex // never waited for, but by who reads: two writers of one place are a whole ring apart

	// Guarded by mu.
	number uint64 // from 1; 0: nothing is here
	refusal
}

// refusal is what is kept of one.
type refusal struct {
	at         time.Duration
	rpcID      uint64
	call       governance.Call
	code       uint16
	ruleID     string
	epoch      uint64 // of the rules in force then
	version    uint64
	retryAfter time.Duration
}

// Note implements governance.Refusals.
func (r *Rules) Note(now time.Duration, rpcID uint64, c *governance.Call, v governance.Verdict) {
	n, epoch := r.refusals.next.Add(1), r.Set().Mark().Epoch
	p := r.refusals.place(n - 1)
	p.mu.Lock()
	if p.number < n {
		p.number, p.at, p.rpcID, p.call = n, now, rpcID, *c
		p.code, p.ruleID, p.epoch, p.version, p.retryAfter = v.Code, v.RuleID, epoch, v.RuleVersion, v.RetryAfter
	}
	p.mu.Unlock()
}

// NoteServer implements governance.Refusals.
func (r *Rules) NoteServer(now time.Duration, rpcID uint64, c *governance.Call, v governance.Verdict) {
	if tally := r.Set().Tally(v.RuleID); tally != nil {
		tally.Refused.Add(1)
	}
	r.Note(now, rpcID, c, v)
}

func (r *refusals) place(n uint64) *refused {
	i := n % refusalsKept
	part := &r.parts[i/refusalsPart]
	places := part.Load()
	if places == nil {
		part.CompareAndSwap(nil, new([refusalsPart]refused))
		places = part.Load()
	}
	return &places[i%refusalsPart]
}

// RefusedFilter says which refused calls are meant: those that have all that is not zero.
type RefusedFilter struct {
	RPCID  uint64
	RuleID string
	Caller string
	Module string
	Method string
	Limit  int // default 100
}

// Refused is a call that was refused at this node.
type Refused struct {
	At          time.Time       `json:"at"`
	RPCID       uint64          `json:"rpc_id,string"` // 0: it was given none yet
	Call        governance.Call `json:"call"`
	Code        uint16          `json:"code"`
	RuleID      string          `json:"rule_id,omitempty"`
	RuleVersion uint64          `json:"rule_version,omitempty"`
	RuleEpoch   uint64          `json:"rule_epoch,omitempty"` // with RuleVersion it is the mark of the rules that have refused it
	RetryAfter  time.Duration   `json:"retry_after,omitempty"`

	// Explanation is what the rules in force now say of such a call. They may be newer than RuleVersion.
	Explanation rules.Explanation `json:"explanation"`
}

// Refused returns calls that were refused at this node in the last ten minutes, the newest first. Of the last 16,384 it knows.
func (r *Rules) Refused(f RefusedFilter) []Refused {
	if f.Limit <= 0 {
		f.Limit = refusalsShow
	}
	now := r.o.Now()
	set := r.Set()
	var found []Refused
	newest := r.refusals.next.Load()
	for n := newest; n > 0 && n+refusalsKept > newest && len(found) < f.Limit; n-- {
		one, ok := r.refusals.read(n - 1)
		if !ok || now-one.at > refusalsAge || !f.fits(&one) {
			continue
		}
		found = append(found, Refused{
			At: time.Unix(0, r.o.Calendar.At(one.at)).UTC(), RPCID: one.rpcID, Call: one.call, Code: one.code,
			RuleID: one.ruleID, RuleVersion: one.version, RuleEpoch: one.epoch, RetryAfter: one.retryAfter,
			Explanation: set.Explain(now, &one.call),
		})
	}
	return found
}

// read returns what has the number n, if it is still or already there.
func (r *refusals) read(n uint64) (refusal, bool) {
	p := r.place(n)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refusal, p.number == n+1
}

func (f RefusedFilter) fits(one *refusal) bool {
	return (f.RPCID == 0 || f.RPCID == one.rpcID) &&
		(f.RuleID == "" || f.RuleID == one.ruleID) &&
		(f.Caller == "" || f.Caller == one.call.Caller) &&
		(f.Module == "" || f.Module == one.call.Module) &&
		(f.Method == "" || f.Method == one.call.Method)
}
