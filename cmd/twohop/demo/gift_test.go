package demo

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestParseGiftTakesWhatIsOne(t *testing.T) {
	for _, line := range []string{
		example,
		`{"gift_id":"g","user":"u","room":"r","amount":1}`,
		` { "amount" : 1000000000, "room":"ü","user":"u","gift_id":"g" } `,
	} {
		if _, err := parseGift([]byte(line)); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	got, _ := parseGift([]byte(example))
	if want := (gift{ID: "g-0001", User: "mia", Room: "lagoon", Name: "rocket", Amount: 500}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestParseGiftSaysWhatIsWrong(t *testing.T) {
	const good = `"gift_id":"g","user":"u","room":"r"`
	for _, c := range []struct{ line, want string }{
		{`hello`, "is not one JSON object, such as {"},
		{`[1]`, "is not one JSON object"},
		{`null`, "is not one JSON object"},
		{example + example, "is not one JSON object"},
		{"{" + good + ",\"amount\":5,\"x\":\"\xff\"}", "is not UTF-8"},
		{`{` + good + `}`, "amount is missing"},
		{`{"user":"u","room":"r","amount":5}`, "gift_id is missing"},
		{`{"gift_id":"g","room":"r","amount":5}`, "user is missing"},
		{`{"gift_id":"g","user":"u","amount":5}`, "room is missing"},
		{`{` + good + `,"amount":5,"color":"red"}`, `"color" is no field of a gift (gift_id, user, room, amount, gift)`},
		{`{` + good + `,"AMOUNT":5}`, `amount is missing; "AMOUNT" is no field`},
		{`{` + good + `,"amount":-5}`, "amount is -5, must be a whole number from 1 to 1000000000"},
		{`{` + good + `,"amount":0}`, "amount is 0, must be"},
		{`{` + good + `,"amount":1.5}`, "amount is 1.5, must be"},
		{`{` + good + `,"amount":"5"}`, `amount is "5", must be`},
		{`{` + good + `,"amount":null}`, "amount is null, must be"},
		{`{` + good + `,"amount":1000000001}`, "amount is 1000000001, must be"},
		{`{` + good + `,"amount":99999999999999999999}`, "amount is 99999999999999999999, must be"},
		{`{"gift_id":7,"user":"u","room":"r","amount":5}`, "gift_id must be a text"},
		{`{"gift_id":null,"user":"u","room":"r","amount":5}`, "gift_id must be a text"},
		{`{"gift_id":"g","user":"","room":"r","amount":5}`, "user must be a text of 1 to 64 printable bytes"},
		{`{"gift_id":"g","user":"u","room":"` + strings.Repeat("r", 65) + `","amount":5}`, "room must be a text"},
		{`{"gift_id":"g","user":"u\u0007","room":"r","amount":5}`, "user must be a text"},
	} {
		_, err := parseGift([]byte(c.line))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: got %v, want one line with %q", c.line, err, c.want)
		}
	}
}

// TestTheSampleIsWhatTheGeneratorWrites: after a change of the generator, `twohop demo gifts > configs/demo/gifts.jsonl`.
func TestTheSampleIsWhatTheGeneratorWrites(t *testing.T) {
	text, err := os.ReadFile("../../../" + sampleInput)
	if err != nil {
		t.Fatal(err)
	}
	var made bytes.Buffer
	if err := writeGifts(&made); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(text, made.Bytes()) {
		t.Errorf("%s is not what the generator writes", sampleInput)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	above := 0
	for i, line := range lines {
		g, err := parseGift([]byte(line))
		if err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
		if g.Amount > limit {
			above++
		}
	}
	if len(lines) != 3000 || above < 30 || above > 60 {
		t.Errorf("%d gifts, %d of them above the limit; want 3000, and 1 to 2 percent of them", len(lines), above)
	}
}
