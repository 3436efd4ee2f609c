package demo

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
)

// giftCount is how many gifts configs/demo/gifts.jsonl has.
const giftCount = 3000

// generateSeed makes the stream of gifts always the same.
const generateSeed = 20_240_501

// shop is what may be sent: what one costs, and its share of all gifts in percent.
var shop = []struct {
	name  string
	cost  int64
	share uint64
}{
	{"rose", 1, 34}, {"fish", 10, 24}, {"heart", 52, 16}, {"crown", 199, 12}, {"rocket", 500, 9}, {"castle", 2000, 5},
}

var rooms = []string{
	"lagoon", "harbor", "reef", "atoll", "fjord", "delta", "cove", "strait", "marina", "lighthouse", "pier", "tidepool",
	"sandbar", "breaker", "kelp", "coral", "anchor", "compass", "mast", "keel", "jetty", "buoy", "gull", "pearl",
}

// generator makes gifts. PCG and the arithmetic here are fixed: the stream is the same with every version of Go.
type generator struct {
	source *rand.PCG
	made   int
}

func newGenerator() *generator { return &generator{source: rand.NewPCG(generateSeed, 0)} }

// below returns a number from 0 to n-1.
func (g *generator) below(n int) int { return int((g.source.Uint64() >> 33) % uint64(n)) }

// next returns the next gift.
func (g *generator) next() gift {
	g.made++
	share, item := uint64(g.below(100)), shop[0]
	for _, item = range shop {
		if share < item.share {
			break
		}
		share -= item.share
	}
	// The lesser of two draws: the first rooms are the popular ones.
	room := rooms[min(g.below(len(rooms)), g.below(len(rooms)))]
	amount := item.cost * int64(1+g.below(4))
	if g.below(1000) < 15 {
		// Somebody sends a whole fleet at once: it costs more than one gift may.
		item.name, amount = "fleet", limit+int64(1+g.below(40_000))
	}
	return gift{
		ID: fmt.Sprintf("g-%04d", g.made), User: fmt.Sprintf("user-%03d", 1+g.below(400)), Room: room, Name: item.name, Amount: amount,
	}
}

// writeGifts writes the file of gifts, a line each.
func writeGifts(to io.Writer) error {
	buffered := bufio.NewWriter(to)
	encoder := json.NewEncoder(buffered)
	for g := newGenerator(); g.made < giftCount; {
		if err := encoder.Encode(g.next()); err != nil {
			return err
		}
	}
	return buffered.Flush()
}
