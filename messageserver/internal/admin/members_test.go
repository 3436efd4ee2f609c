package admin

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestAListIsWrittenAtEveryNode(t *testing.T) {
	w := meet(t, "a", "b", "c")
	a := w.nodes["a"]
	list := w.peers["a"].Members()
	list[1].Address = "10.0.0.99:7072"
	got := a.put(listOf(list...), a.hash())
	if got.Status != http.StatusOK || !got.OK || got.line() != "a=ok b=ok c=ok" || got.Hash != a.hash() {
		t.Errorf("got %+v", got)
	}
	for name, p := range w.peers {
		if p.sets != 1 || p.members[1].Address != "10.0.0.99:7072" {
			t.Errorf("%s was set %d times and has %+v", name, p.sets, p.members)
		}
	}
	status, body, header := a.get("/v1/members")
	if status != http.StatusOK || header.Get("ETag") != `"`+got.Hash+`"` {
		t.Errorf("%d, ETag %s, want %s", status, header.Get("ETag"), got.Hash)
	}
	if again := a.put(body, header.Get("ETag")); !again.OK || again.Hash != got.Hash {
		t.Errorf("what was read cannot be written: %+v", again)
	}
}

func TestAChangeOfAnotherListIsRefused(t *testing.T) {
	w := meet(t, "a", "b")
	a := w.nodes["a"]
	seen := a.hash()
	list := w.peers["a"].Members()
	w.peers["a"].members = []Member{{Node: "a"}, {Node: "z", Number: 9}}
	for _, match := range []string{seen, "", "*"} {
		got := a.put(listOf(list...), match)
		want := http.StatusPreconditionFailed
		if match == "" {
			want = http.StatusPreconditionRequired
		}
		if got.Status != want || got.Error == "" || w.peers["a"].sets+w.peers["b"].sets != 0 {
			t.Errorf("%q: %+v, sets %d %d", match, got, w.peers["a"].sets, w.peers["b"].sets)
		}
	}
}

func TestWhatThisNodeRefusesNobodyIsTold(t *testing.T) {
	w := meet(t, "a", "b")
	w.peers["a"].refuses = errors.New("members[1].number: 1 stands twice")
	a := w.nodes["a"]
	got := a.put(listOf(w.peers["a"].members...), a.hash())
	if got.Status != http.StatusUnprocessableEntity || !strings.Contains(got.Error, "node a refuses the list, and no other has taken it: members[1].number: 1 stands twice") {
		t.Errorf("got %+v", got)
	}
	if w.peers["b"].sets != 0 {
		t.Error("b was told")
	}
}

// TestAListThatIsWrongHereThrowsNobodyOut: not even a node that leaves hears of it.
func TestAListThatIsWrongHereThrowsNobodyOut(t *testing.T) {
	w := meet(t, "a", "b", "c")
	w.peers["a"].wrong = errors.New("the number of a is 7, and it runs with 0")
	a := w.nodes["a"]
	got := a.put(listOf(w.peers["a"].members[:2]...), a.hash())
	if got.Status != http.StatusUnprocessableEntity || !strings.Contains(got.Error, "node a refuses the list, and no other has taken it: the number of a") {
		t.Errorf("got %+v", got)
	}
	if w.peers["a"].sets+w.peers["b"].sets+w.peers["c"].sets != 0 {
		t.Error("somebody was told")
	}
}

func TestEveryNodeIsReported(t *testing.T) {
	w := meet(t, "a", "b", "c", "d")
	w.peers["b"].refuses = errors.New("the disk\nis full")
	a, p := w.nodes["a"], w.peers["a"]
	p.set = func() { p.links = p.links[:2] } // d cannot be asked any more
	got := a.put(listOf(p.members[:3]...), a.hash())
	if got.Status != http.StatusOK || got.OK || got.line() != "a=ok b=failed c=ok d=ok" {
		t.Errorf("got %+v", got)
	}
	if b, d := got.Results[1], got.Results[3]; b.Error != "the disk; is full" || b.Role != "stays" || d.Role != "leaves" {
		t.Errorf("b %+v, d %+v", b, d)
	}
	if w.peers["d"].sets != 1 {
		t.Error("d leaves, is linked, and did not hear of it")
	}
}

// TestWhatIsTakenByOneNodeIsReported: a node that leaves has the list before this node finds that it cannot write its own.
func TestWhatIsTakenByOneNodeIsReported(t *testing.T) {
	w := meet(t, "a", "b", "c")
	w.peers["a"].refuses = errors.New("the disk is full")
	a := w.nodes["a"]
	got := a.put(listOf(w.peers["a"].members[:2]...), a.hash())
	if got.Status != http.StatusOK || got.OK || got.line() != "a=failed b=failed c=ok" || w.peers["b"].sets != 0 ||
		got.Results[0].Error != "the disk is full" || !strings.Contains(got.Results[1].Error, "it was not told") {
		t.Errorf("got %+v", got)
	}
}

// TestANodeThatLeavesNeedNotBeThere: it is removed because it is dead.
func TestANodeThatLeavesNeedNotBeThere(t *testing.T) {
	w := meet(t, "a", "b", "c")
	w.cut("a", "c", "waiting", "connection refused")
	a := w.nodes["a"]
	got := a.put(listOf(w.peers["a"].members[:2]...), a.hash())
	if !got.OK || got.line() != "a=ok b=ok c=not_heard" || !strings.Contains(got.Results[2].Error, "connection refused") {
		t.Errorf("got %+v", got)
	}
	synctest.Test(t, func(t *testing.T) {
		src, from := a.sources(), time.Now()
		c := newChange(&src, &membersAnswer{}, nil, false)
		c.all = []told{{Node: "c", Role: "leaves"}}
		c.own = -1
		c.tellSome(t.Context(), true)
		if took := time.Since(from); took != 0 {
			t.Errorf("it was waited for, %v", took)
		}
	})
}

// TestAChangeThatHasBegunIsMade: also when who asked for it has gone.
func TestAChangeThatHasBegunIsMade(t *testing.T) {
	w := meet(t, "a", "b")
	p := w.peers["a"]
	ctx, leave := context.WithCancel(t.Context())
	defer leave()
	p.set = leave
	r := httptest.NewRequestWithContext(ctx, http.MethodPut, "/v1/members", strings.NewReader(listOf(p.members...)))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("If-Match", hashOf(p.members))
	s := &Server{src: w.nodes["a"].sources(), changing: make(chan struct{}, 1)}
	s.setMembers(httptest.NewRecorder(), r)
	if ctx.Err() == nil || w.peers["b"].sets != 1 {
		t.Errorf("b was told %d times", w.peers["b"].sets)
	}
}

// TestANodeThatJoinsIsToldWhenItIsLinked: the link to it is made after the list is in force here.
func TestANodeThatJoinsIsToldWhenItIsLinked(t *testing.T) {
	w := meet(t, "a", "b", "c", "d")
	for _, name := range []string{"a", "b"} {
		w.peers[name].members = w.peers[name].members[:2]
		w.peers[name].links = w.peers[name].links[:1]
	}
	a, p := w.nodes["a"], w.peers["a"]
	list := w.peers["d"].Members()
	synctest.Test(t, func(t *testing.T) {
		p.set = func() { // c is linked after some time, d never
			go func() {
				time.Sleep(time.Second)
				p.mu.Lock()
				defer p.mu.Unlock()
				p.links = append(p.links, Link{Peer: "c", State: "syncing"}, Link{Peer: "d", State: "connecting"})
			}()
			go func() {
				time.Sleep(2 * time.Second)
				p.mu.Lock()
				defer p.mu.Unlock()
				p.links[1].State = "up"
			}()
		}
		src := a.sources()
		old := src.ownMembers()
		c := newChange(&src, &old, list, false)
		from := time.Now()
		if err := errors.Join(c.canvass(t.Context()), c.tellAll(t.Context())); err != nil {
			t.Fatal(err)
		}
		all := c.all
		got := answered{Results: all}
		if got.line() != "a=ok b=ok c=ok d=not_heard" || all[3].Role != "joins" || all[3].fails() || all[2].Error != "" || w.peers["c"].sets != 1 {
			t.Errorf("got %+v", all)
		}
		if took := time.Since(from); took != tellPatience {
			t.Errorf("it took %v, want %v", took, tellPatience)
		}
		synctest.Wait()
	})
}

// TestOfTwoChangesAtOnceOneIsMade: through two nodes, each of which finds the list at all of them from which it was made.
func TestOfTwoChangesAtOnceOneIsMade(t *testing.T) {
	w := meet(t, "a", "b", "c")
	srcA, srcB := w.nodes["a"].sources(), w.nodes["b"].sources()
	old := srcA.ownMembers()
	moved := func(i int) []Member {
		list := slices.Clone(old.Members)
		list[i].Address = "10.0.0.99:7072"
		return list
	}
	one, two := newChange(&srcA, &old, moved(1), false), newChange(&srcB, &old, moved(2), false)
	if err := errors.Join(one.canvass(t.Context()), two.canvass(t.Context())); err != nil {
		t.Fatal(err)
	}
	if err := one.tellAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := two.tellAll(t.Context()); err != nil {
		t.Fatal(err)
	}
	first, second := answered{Results: one.all}, answered{Results: two.all}
	if first.line() != "a=ok b=ok c=ok" || second.line() != "a=failed b=failed c=failed" ||
		!strings.Contains(second.Results[0].Error, "the list in force at a has the hash "+one.hash) ||
		!strings.Contains(second.Results[1].Error, "it was not told, because node a") {
		t.Errorf("the first %+v\nthe second %+v", one.all, two.all)
	}
	for name, p := range w.peers {
		if p.sets != 1 || hashOf(p.members) != one.hash {
			t.Errorf("%s was set %d times and has %+v", name, p.sets, p.members)
		}
	}
}

// TestAChangeBetweenLookingAndSettingIsSeen: also at the node that is asked.
func TestAChangeBetweenLookingAndSettingIsSeen(t *testing.T) {
	w := meet(t, "a", "b")
	a, p := w.nodes["a"], w.peers["a"]
	old := p.Members()
	other := slices.Clone(old)
	other[1].Address = "10.0.0.99:7072"
	p.before = func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.members = other
	}
	got := a.put(listOf(append(old, Member{"c", 2, "10.0.0.2:7072"})...), a.hash())
	if got.Status != http.StatusPreconditionFailed || !strings.Contains(got.Error, "look at it again") || w.peers["b"].sets != 0 {
		t.Errorf("got %+v", got)
	}
}

// TestANodeThatHasAnotherListMustBeForced: it may be the one that is right.
func TestANodeThatHasAnotherListMustBeForced(t *testing.T) {
	w := meet(t, "a", "b", "c")
	a, b := w.nodes["a"], w.peers["b"]
	b.members = append(b.Members(), Member{"d", 3, "10.0.0.3:7072"})
	list := w.peers["a"].Members()
	list[2].Address = "10.0.0.99:7072"
	got := a.put(listOf(list...), a.hash())
	if got.Status != http.StatusPreconditionFailed || !strings.Contains(got.Error, "the list in force at b has the hash "+hashOf(b.members)) ||
		w.peers["a"].sets+b.sets+w.peers["c"].sets != 0 {
		t.Errorf("got %+v", got)
	}
	force := func(v string) func(*http.Request) {
		return func(r *http.Request) { r.URL.RawQuery = "force=" + v }
	}
	if got := a.put(listOf(list...), a.hash(), force("yes")); got.Status != http.StatusBadRequest || !strings.Contains(got.Error, "must be true or false") {
		t.Errorf("got %+v", got)
	}
	if got := a.put(listOf(list...), a.hash(), force("true")); !got.OK || got.line() != "a=ok b=ok c=ok" || hashOf(b.members) != got.Hash {
		t.Errorf("got %+v", got)
	}
}

// TestAListThatOneNodeRefusesIsTakenByNone: every node that stays is asked first.
func TestAListThatOneNodeRefusesIsTakenByNone(t *testing.T) {
	w := meet(t, "a", "b", "c", "d")
	w.peers["b"].wrong = errors.New("it runs\nwith 2")
	w.peers["c"].wrong = errors.New("neither here")
	a := w.nodes["a"]
	for _, query := range []string{"", "force=true"} {
		got := a.put(listOf(w.peers["a"].members[:3]...), a.hash(), func(r *http.Request) { r.URL.RawQuery = query })
		if got.Status != http.StatusUnprocessableEntity || got.Error != "node b refuses the list, and no other has taken it: it runs; with 2; "+
			"node c refuses the list, and no other has taken it: neither here" {
			t.Errorf("got %+v", got)
		}
	}
	for name, p := range w.peers {
		if p.sets != 0 {
			t.Errorf("%s has taken it", name)
		}
	}
}

// TestANodeThatIsNotHeardDoesNotObject: the others change, and it is named.
func TestANodeThatIsNotHeardDoesNotObject(t *testing.T) {
	w := meet(t, "a", "b", "c")
	w.cut("a", "b", "waiting", "connection refused")
	w.peers["b"].wrong = errors.New("nobody hears that")
	synctest.Test(t, func(t *testing.T) {
		src := w.nodes["a"].sources()
		old := src.ownMembers()
		c := newChange(&src, &old, old.Members, false)
		if err := errors.Join(c.canvass(t.Context()), c.tellAll(t.Context())); err != nil {
			t.Fatal(err)
		}
		if got := (&answered{Results: c.all}).line(); got != "a=ok b=not_heard c=ok" || !c.all[1].fails() {
			t.Errorf("got %+v", c.all)
		}
	})
}

// TestWhatIsNotKnownIsNotClaimed: c may have taken the list before its link was lost.
func TestWhatIsNotKnownIsNotClaimed(t *testing.T) {
	w := meet(t, "a", "b", "c")
	a, p := w.nodes["a"], w.peers["a"]
	p.refuses = errors.New("the disk is full")
	p.lose = func() { w.cut("a", "c", "down", "read: reset") }
	got := a.put(listOf(p.members[:2]...), a.hash())
	if got.Status != http.StatusOK || got.OK || got.line() != "a=failed b=failed c=not_heard" || !strings.Contains(got.Results[2].Error, "read: reset") {
		t.Errorf("got %+v", got)
	}
}

// TestANodeWhoseListIsNotKnownIsAsked: who joins may have been started with another one.
func TestANodeWhoseListIsNotKnownIsAsked(t *testing.T) {
	w := meet(t, "a", "b", "c")
	all := w.peers["a"].Members()
	for _, name := range []string{"a", "b"} {
		w.peers[name].members = all[:2]
	}
	w.peers["c"].members = all[2:]
	a := w.nodes["a"]
	if got := a.put(listOf(all...), a.hash()); !got.OK || got.line() != "a=ok b=ok c=ok" {
		t.Errorf("got %+v", got)
	}
	w.peers["c"].members, w.peers["c"].wrong = all[2:], errors.New("c has number 7")
	w.peers["a"].members, w.peers["b"].members = all[:2], all[:2]
	if got := a.put(listOf(all...), a.hash()); got.line() != "a=ok b=ok c=failed" || got.Results[2].Error != "c has number 7" {
		t.Errorf("got %+v", got)
	}
	src := w.nodes["b"].sources()
	if _, err := src.NodeMethods()["SetMembers"](t.Context(), []byte(listOf(all...))); err == nil || !strings.Contains(err.Error(), "from is missing") {
		t.Errorf("got %v", err)
	}
}

// TestANodeMayRemoveItself: it tells the others first, while it has links.
func TestANodeMayRemoveItself(t *testing.T) {
	w := meet(t, "a", "b", "c")
	p := w.peers["a"]
	p.set = func() {
		if w.peers["b"].sets != 1 || w.peers["c"].sets != 1 {
			t.Error("a left before the others were told")
		}
		p.links = nil
	}
	a := w.nodes["a"]
	if got := a.put(listOf(p.members[1:]...), a.hash()); !got.OK || got.line() != "a=ok b=ok c=ok" || p.sets != 1 {
		t.Errorf("got %+v", got)
	}
}

func TestBadChangesAreRefused(t *testing.T) {
	w := meet(t, "a", "b")
	a := w.nodes["a"]
	good, match := listOf(w.peers["a"].members...), a.hash()
	header := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	for _, test := range []struct {
		name, body string
		edit       func(*http.Request)
		status     int
		says       string
	}{
		{"a form", good, header("Content-Type", "text/plain"), http.StatusUnsupportedMediaType, "must be application/json"},
		{"another site", good, header("Sec-Fetch-Site", "cross-site"), http.StatusForbidden, "another site"},
		{"another origin", good, header("Origin", "http://evil.example"), http.StatusForbidden, "another site"},
		{"another name", good, func(r *http.Request) { r.Host = "evil.example" }, http.StatusMisdirectedRequest, "Host"},
		{"POST", good, func(r *http.Request) { r.Method = http.MethodPost }, http.StatusMethodNotAllowed, "GET, HEAD, PUT"},
		{"no JSON", "members:", nil, http.StatusBadRequest, "the body: invalid character"},
		{"an unknown field", `{"members":[{"node":"a","addr":"x"}]}`, nil, http.StatusBadRequest, `unknown field "addr"`},
		{"two objects", good + good, nil, http.StatusBadRequest, "something follows"},
		{"no number", `{"members":[{"node":"a","number":0,"address":"10.0.0.1:1"},{"node":"b","address":"10.0.0.2:1"}]}`, nil, http.StatusBadRequest, "members[1] has no number"},
		{"nobody", `{"members":[]}`, nil, http.StatusBadRequest, "there are no members"},
		{"nothing", "", nil, http.StatusBadRequest, "there are no members"},
		{"too long", strings.Repeat(" ", maxList+1), nil, http.StatusRequestEntityTooLarge, "too large"},
	} {
		edits := []func(*http.Request){}
		if test.edit != nil {
			edits = append(edits, test.edit)
		}
		if got := a.put(test.body, match, edits...); got.Status != test.status || !strings.Contains(got.Error, test.says) {
			t.Errorf("%s: %d %q, want %d and %q", test.name, got.Status, got.Error, test.status, test.says)
		}
	}
	if w.peers["a"].sets+w.peers["b"].sets != 0 {
		t.Error("something was changed")
	}
	if got := a.put(good, match, header("Origin", "http://"+a.address), header("Content-Type", "application/json; charset=utf-8")); !got.OK {
		t.Errorf("its own page is refused: %+v", got)
	}
}

func TestOneChangeAtATime(t *testing.T) {
	w := meet(t, "a", "b")
	p, a := w.peers["a"], w.nodes["a"]
	match := a.hash()
	inside, done := make(chan struct{}), make(chan answered)
	finish := make(chan struct{})
	p.set = func() { close(inside); <-finish }
	go func() { done <- a.put(listOf(p.Members()...), match) }()
	<-inside
	if got := a.put(listOf(p.Members()...), match); got.Status != http.StatusConflict || !strings.Contains(got.Error, "under way") {
		t.Errorf("the second: %+v", got)
	}
	p.mu.Lock()
	p.set = nil
	p.mu.Unlock()
	close(finish)
	if got := <-done; !got.OK {
		t.Errorf("the first: %+v", got)
	}
	if got := a.put(listOf(p.Members()...), match); !got.OK {
		t.Errorf("the third: %+v", got)
	}
}

// TestALinkThatIsLostMeanwhileIsNoRefusal: the node that was asked has said nothing.
func TestALinkThatIsLostMeanwhileIsNoRefusal(t *testing.T) {
	w := meet(t, "a", "b")
	w.peers["a"].lose = func() { w.cut("a", "b", "down", "read: reset") }
	a := w.nodes["a"]
	src := a.sources()
	_, err := ask[membersAnswer](t.Context(), &src, "b", "Members", nil)
	if _, unlinked := errors.AsType[*unlinkedError](err); !unlinked || !strings.Contains(err.Error(), "read: reset") {
		t.Errorf("got %v", err)
	}
}
