package wire_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/twohop/twohop/proto/pb"
	"github.com/twohop/twohop/proto/wire"
)

const specification = "../PROTOCOL.md"

// table returns the rows of the table whose head is the given cells, without head and rule.
func table(t *testing.T, head ...string) (rows [][]string) {
	t.Helper()
	raw, err := os.ReadFile(specification)
	if err != nil {
		t.Fatal(err)
	}
	inside := false
	for line := range strings.Lines(string(raw)) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			if inside {
				return rows
			}
			continue
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case slices.Equal(cells, head):
			inside = true
		case inside && !strings.HasPrefix(cells[0], "---"):
			if len(cells) != len(head) {
				t.Fatalf("row %q has %d cells, must have %d", line, len(cells), len(head))
			}
			rows = append(rows, cells)
		}
	}
	t.Fatalf("%s has no table %q", specification, head)
	return nil
}

func TestSpecificationHasTheCodes(t *testing.T) {
	var got []codeVector
	for _, row := range table(t, "code", "name", "class", "gRPC", "sent by", "meaning", "the caller should") {
		n, err := strconv.ParseUint(row[0], 10, 16)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, codeVector{uint16(n), row[1], row[2], row[3]})
		for _, cell := range row[4:] {
			if cell == "" {
				t.Errorf("%s has an empty cell", row[1])
			}
		}
	}
	if want := codeVectors(); !slices.Equal(got, want) {
		t.Errorf("\n got %v\nwant %v", got, want)
	}
}

func TestCodesAreAscendingAndTrue(t *testing.T) {
	codes := wire.Codes()
	if !slices.IsSorted(codes) || len(slices.Compact(slices.Clone(codes))) != len(codes) {
		t.Errorf("not ascending: %v", codes)
	}
	for _, c := range codes {
		if (c.Class() == wire.Success) != (c.GRPC() == "OK") {
			t.Errorf("%s is %s and %s in gRPC", c, c.Class(), c.GRPC())
		}
		if c > wire.MaxCode {
			t.Errorf("%s is above %d", c, wire.MaxCode)
		}
	}
	for c, want := range map[wire.Code]wire.Class{
		0: wire.Success, 9: wire.Success, 10: wire.NotExecuted, 63: wire.NotExecuted, 64: wire.Executed, 95: wire.Executed, 96: wire.Unknown, 127: wire.Unknown, 65535: wire.Unknown,
	} {
		if c.Class() != want {
			t.Errorf("class of %d is %s, want %s", c, c.Class(), want)
		}
	}
	for c, want := range map[wire.Code]string{9: "CODE(9)", 65535: "CODE(65535)"} {
		if c.String() != want || c.GRPC() != "UNKNOWN" {
			t.Errorf("%d is %s, %s", c, c, c.GRPC())
		}
	}
}

func TestSpecificationHasTheKinds(t *testing.T) {
	var got []kindVector
	for _, row := range table(t, "kind", "name", "module → node", "node → module", "node ↔ node", "header", "body") {
		n, err := strconv.ParseUint(row[0], 10, 8)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, kindVector{uint8(n), row[1], row[2] == "yes", row[3] == "yes", row[4] == "yes"})
		if row[5] != "–" {
			controlMessage(row[5]) // panics where there is none
		}
	}
	if want := kindVectors(); !slices.Equal(got, want) {
		t.Errorf("\n got %v\nwant %v", got, want)
	}
	if s := wire.Kind(77).String(); s != "KIND(77)" {
		t.Errorf("an unassigned kind is %s", s)
	}
}

// TestSpecificationHasTheFlags also proves that CheckPrefix and the table agree on who may set what.
func TestSpecificationHasTheFlags(t *testing.T) {
	rows := table(t, "flag", "name", "on", "from", "meaning")
	if len(rows) != 8 {
		t.Fatalf("%d flags, must be 8", len(rows))
	}
	for i, row := range rows {
		flag := wire.Flags(1) << i
		if row[0] != strconv.Itoa(int(flag)) {
			t.Errorf("row %d is of flag %s, must be %d", i, row[0], flag)
		}
		for _, k := range []wire.Kind{wire.KindRequest, wire.KindResponse, wire.KindPart} {
			allowed := row[3] == "all" && slices.Contains(strings.Split(row[2], ", "), k.String())
			f := wire.Frame{Kind: k, Flags: flag, CallID: 1, Status: wire.Code(wire.KindRequest)}
			if err := f.CheckPrefix(); (err == nil) != allowed {
				t.Errorf("flag %d on %s: %v, the table says %v", flag, k, err, allowed)
			}
			crossing := wire.Frame{Kind: k, Flags: flag, CallID: 1, Hops: 1, BudgetMS: 1, Status: wire.Code(wire.KindRequest)}
			if flag == wire.FlagOneWay {
				crossing.CallID = 0
			}
			allowed = allowed || row[3] == "nodes" && row[2] == k.String()
			if err := crossing.CheckPeerPrefix(); (err == nil) != allowed {
				t.Errorf("flag %d on %s between nodes: %v, the table says %v", flag, k, err, allowed)
			}
		}
	}
}

func TestSpecificationHasTheFields(t *testing.T) {
	rows := func(m proto.Message) (all [][]string) {
		fields := m.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			fd := fields.Get(i)
			kind := fd.Kind().String()
			if fd.IsList() {
				kind = "repeated " + kind
			}
			all = append(all, []string{strconv.Itoa(int(fd.Number())), string(fd.Name()), kind})
		}
		slices.SortFunc(all, func(a, b []string) int { return number32(a[0]) - number32(b[0]) })
		return all
	}
	raw, err := os.ReadFile(specification)
	if err != nil {
		t.Fatal(err)
	}
	text := string(raw)
	for section, m := range map[string]proto.Message{"Requests": &pb.RequestHeader{}, "Responses": &pb.ResponseHeader{}} {
		_, rest, _ := strings.Cut(text, "\n## "+section+"\n")
		rest, _, _ = strings.Cut(rest, "\n## ")
		var got [][]string
		for line := range strings.Lines(rest) {
			cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
			if len(cells) != 5 || strings.HasPrefix(cells[0], "---") || strings.TrimSpace(cells[0]) == "field" {
				continue
			}
			got = append(got, []string{strings.TrimSpace(cells[0]), strings.TrimSpace(cells[1]), strings.TrimSpace(cells[2])})
		}
		want := rows(m)
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s:\n got %v\nwant %v", section, got, want)
		}
	}
}

func number32(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}

// TestSpecificationHasTheOptions wants a vector for each rule, with the code that the rule names.
func TestSpecificationHasTheOptions(t *testing.T) {
	broken := map[string]string{}
	for _, v := range load[optionVector](t, "options.json") {
		if v.Rule != "" {
			if c, ok := broken[v.Rule]; ok && c != v.Code {
				t.Errorf("%s is %s and %s", v.Rule, c, v.Code)
			}
			broken[v.Rule] = v.Code
		}
	}
	for _, row := range table(t, "rule", "what", "code") {
		if broken[row[0]] != row[2] {
			t.Errorf("%s: vectors say %q, the table says %q", row[0], broken[row[0]], row[2])
		}
		delete(broken, row[0])
	}
	if len(broken) > 0 {
		t.Errorf("rules that the table does not have: %v", broken)
	}
}

var states = []string{"preface", "login", "proof", "open caller", "open server", "goaway caller", "goaway server"}

// stateVectors reads the matrix of PROTOCOL.md.
func stateVectors(t *testing.T) (all []stateVector) {
	for _, row := range table(t, append([]string{"kind"}, states...)...) {
		for i, state := range states {
			all = append(all, stateVector{row[0], state, row[i+1]})
		}
	}
	return all
}

func TestStatesAreComplete(t *testing.T) {
	allowed := map[string][]string{
		"preface": {"closed"},
		"login":   {"handled", "REFUSE BAD_REQUEST", "skipped"}, "proof": {"handled", "REFUSE BAD_REQUEST", "skipped"},
		"open caller": {"handled", "GOAWAY BAD_REQUEST", "skipped"}, "open server": {"handled", "GOAWAY BAD_REQUEST", "skipped"},
		"goaway caller": {"handled", "GOAWAY BAD_REQUEST", "skipped", "answered DRAINING"},
		"goaway server": {"handled", "GOAWAY BAD_REQUEST", "skipped", "answered DRAINING"},
	}
	handled := map[string]bool{}
	for _, v := range stateVectors(t) {
		if !slices.Contains(allowed[v.State], v.Result) {
			t.Errorf("%s in state %s is %q, must be one of %q", v.Kind, v.State, v.Result, allowed[v.State])
		}
		handled[v.Kind] = handled[v.Kind] || v.Result == "handled"
	}
	for _, k := range assignedKinds() {
		got, there := handled[k.String()]
		peers := k >= wire.KindHello && k <= wire.KindGoodbye
		if there == peers {
			t.Errorf("%s has a row: %v", k, there)
		}
		if got != k.Goes(wire.ModuleToNode) {
			t.Errorf("%s is handled in some state: %v, a module may send it: %v", k, got, k.Goes(wire.ModuleToNode))
		}
	}
}

// TestConstantsMirrorTheMessages keeps wire's numbers and pb's enums one.
func TestConstantsMirrorTheMessages(t *testing.T) {
	for got, want := range map[protoreflect.EnumNumber]wire.Balance{
		pb.Balance_BALANCE_UNSET.Number():        wire.BalanceUnset,
		pb.Balance_BALANCE_RANDOM.Number():       wire.BalanceRandom,
		pb.Balance_BALANCE_ROUND_ROBIN.Number():  wire.BalanceRoundRobin,
		pb.Balance_BALANCE_HASH.Number():         wire.BalanceHash,
		pb.Balance_BALANCE_LEAST_ACTIVE.Number(): wire.BalanceLeastActive,
	} {
		if int(got) != int(want) {
			t.Errorf("balance %d is %d in wire", got, want)
		}
	}
	if n := (&pb.RequestHeader{}).ProtoReflect().Descriptor().Fields().ByName("invoker_module").Number(); n != wire.FirstNodeField {
		t.Errorf("the nodes' first field is %d, not %d", n, wire.FirstNodeField)
	}
}
