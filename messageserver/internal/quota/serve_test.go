package quota

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/twohop/twohop/governance/quota"
)

// still returns a Leases of node a in a mesh of a and b, whose time does not go on by itself.
func still(now *time.Duration) *Leases {
	members := func() []string { return []string{"a", "b"} }
	return New(Options{
		Node: "a", Members: members, Reached: members, Limits: func() []Limit { return nil },
		Ask: func(context.Context, string, []byte) ([]byte, error) { return nil, errors.New("nobody is asked") },
		Now: func() time.Duration { return *now }, Log: slog.New(slog.DiscardHandler),
	})
}

// keyOf returns a key that a member owns.
func keyOf(owner string) string {
	for i := 0; ; i++ {
		if key := fmt.Sprint("rule-", i); quota.OwnerOf(key, []string{"a", "b"}) == owner {
			return key
		}
	}
}

func TestServe(t *testing.T) {
	now := time.Hour
	l := still(&now)
	mine, theirs := keyOf("a"), keyOf("b")
	body, err := l.Serve([]byte(fmt.Sprintf(`{"node":"b","limits":[{"key":%q,"limit":1000,"demand":9000},{"key":%q,"limit":1000,"demand":9000}]}`, mine, theirs)))
	if err != nil {
		t.Fatal(err)
	}
	var got answers
	if err := json.Unmarshal(body, &got); err != nil || len(got.Leases) != 1 || got.Leases[0].Key != mine ||
		!about(got.Leases[0].Rate, 500) || got.Leases[0].ValidMS != 1000 {
		t.Errorf("%s, want a lease of %s, 500 for 1,000 ms, and none of %s, which b owns", body, mine, theirs)
	}
	if body, err := l.Serve([]byte(`{"node":"b"}`)); err != nil || string(body) != `{"leases":[]}` {
		t.Errorf("nothing is asked for: %s %v", body, err)
	}
}

func TestTheRuleInForceHereSaysHowMuchThereIs(t *testing.T) {
	now := time.Hour
	l, key := still(&now), keyOf("a")
	l.held[key] = &held{limit: Limit{Key: key, PerSecond: 100}}
	body, err := l.Serve([]byte(fmt.Sprintf(`{"node":"b","limits":[{"key":%q,"limit":1000,"demand":9000}]}`, key)))
	if err != nil {
		t.Fatal(err)
	}
	if leases, _ := decodeAnswer(body); !about(leases[key].Rate, 50) {
		t.Errorf("%s, want half of the 100 that are in force here", body)
	}
}

func TestWrongQuestionsAreRefused(t *testing.T) {
	limits := func(n int, one string) string {
		return `{"node":"b","limits":[` + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + `]}`
	}
	now := time.Hour
	l := still(&now)
	good := fmt.Sprintf(`{"key":%q,"limit":1,"demand":1}`, keyOf("a"))
	for _, c := range []struct{ body, want string }{
		{``, "does not read"}, {`null {}`, "more after"}, {`[]`, "does not read"}, {`{"node":"b"`, "does not read"},
		{`{"node":"b","more":1}`, `unknown field "more"`}, {`{"node":"b"}{}`, "more after"},
		{`{"limits":[]}`, `node "" is none`}, {`{"node":"x"}`, `node "x" is none`}, {`{"node":"a"}`, `node "a" is none`},
		{limits(1, `{"key":"","limit":1,"demand":1}`), "limits[0].key has 0 bytes"},
		{limits(1, `{"key":"`+strings.Repeat("k", 513)+`","limit":1,"demand":1}`), "limits[0].key has 513 bytes"},
		{limits(1, `{"key":"k","limit":-1,"demand":1}`), "limits[0].limit is -1"},
		{limits(1, `{"key":"k","limit":1e13,"demand":1}`), "limits[0].limit is 1e+13"},
		{limits(1, `{"key":"k","limit":1,"demand":-0.5}`), "limits[0].demand is -0.5"},
		{limits(1, `{"key":"k","limit":1,"demand":1e999}`), "does not read"},
		{limits(1, `{"key":"k","limit":"1","demand":1}`), "does not read"},
		{limits(1, good+`,{"key":"k","limit":1,"demand":-1}`), "limits[1].demand"},
		{limits(maxLimits+1, good), "1001 limits in one question"},
		{strings.Repeat(" ", maxBody) + `{"node":"b"}`, "bytes; at most"},
	} {
		if answer, err := l.Serve([]byte(c.body)); err == nil || !strings.Contains(err.Error(), c.want) || answer != nil {
			t.Errorf("%.80s: %s %v, want %q", c.body, answer, err, c.want)
		}
	}
	if len(l.owned) != 0 {
		t.Errorf("%d limits were granted by questions that were refused", len(l.owned))
	}
}

func TestAnOwnerKnowsOnlySoMany(t *testing.T) {
	now := time.Hour
	l := still(&now)
	l.membersLocked(now, []string{"a", "b"})
	for i := range maxOwned {
		l.owned[fmt.Sprint(i)] = quota.NewOwner(1, 0)
	}
	body, err := l.Serve([]byte(fmt.Sprintf(`{"node":"b","limits":[{"key":%q,"limit":1,"demand":1}]}`, keyOf("a"))))
	if err != nil || string(body) != `{"leases":[]}` || len(l.owned) != maxOwned {
		t.Errorf("%s %v, %d known", body, err, len(l.owned))
	}
}

func TestAnswersThatCannotBeAreNone(t *testing.T) {
	leases, err := decodeAnswer([]byte(`{"leases":[{"key":"a","rate":5,"valid_ms":1000},{"key":"b","rate":-5,"valid_ms":1000},
		{"key":"c","rate":5,"valid_ms":-1},{"key":"d","rate":1e15,"valid_ms":1000},{"key":"e","rate":5,"valid_ms":9000000000000}],"later":1}`))
	if err != nil || len(leases) != 1 || leases["a"].Rate != 5 {
		t.Errorf("%v %v, want the lease of a", leases, err)
	}
	if _, err := decodeAnswer([]byte(`{"leases":`)); err == nil {
		t.Error("half an answer is taken")
	}
}

func FuzzServe(f *testing.F) {
	f.Add([]byte(fmt.Sprintf(`{"node":"b","limits":[{"key":%q,"limit":1000,"demand":9000}]}`, keyOf("a"))))
	f.Add([]byte(`{"node":"b"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		now := time.Hour
		answer, err := still(&now).Serve(body)
		if err != nil {
			return
		}
		leases, err := decodeAnswer(answer)
		if err != nil {
			t.Fatalf("%s → %s: %v", body, answer, err)
		}
		for key, g := range leases {
			if !isRate(g.Rate) {
				t.Fatalf("%s: %v", key, g)
			}
		}
	})
}
