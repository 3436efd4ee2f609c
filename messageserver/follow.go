package messageserver

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/twohop/twohop/governance"
	"github.com/twohop/twohop/messageserver/internal/peer"
	"github.com/twohop/twohop/messageserver/internal/rulestore"
)

// inForce names the rules for the heartbeats of this node.
func (g *government) inForce() peer.Rules {
	at := g.rules.Standing()
	return peer.Rules{Epoch: at.Epoch, Version: at.Version, Hash: at.Hash}
}

// rulesHeard is told with each heartbeat which rules another node has.
func (g *government) rulesHeard(node string, has peer.Rules) {
	own := g.inForce()
	mine, theirs := governance.Mark{Epoch: own.Epoch, Version: own.Version}, governance.Mark{Epoch: has.Epoch, Version: has.Version}
	ask := mine.Less(theirs) || mine == theirs && has.Hash != own.Hash
	g.mu.Lock()
	g.compareLocked(node, has, own)
	ask = ask && g.refused[node] != has // it would be the same again
	if ask {
		g.newer[node] = has
	}
	g.mu.Unlock()
	if !ask {
		return
	}
	select {
	case g.heard <- struct{}{}:
	default:
	}
}

// follow asks nodes that have newer rules for them. One that does not answer says with its next heartbeat again that it has.
func (g *government) follow(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-g.heard:
		}
		g.mu.Lock()
		asked := maps.Clone(g.newer)
		clear(g.newer)
		g.mu.Unlock()
		for _, node := range slices.Sorted(maps.Keys(asked)) {
			body, err := g.server.mesh.peers.Ask(ctx, node, rulesInForce, nil)
			if err != nil {
				continue // its next heartbeat says again that it has them
			}
			if err = g.adopt(body); err != nil {
				g.server.opts.Log.Warn("rules not taken over", "from", node, "cause", err)
			}
			g.judged(node, asked[node], err)
		}
	}
}

// Methods of _node that the room admin answers: the document in force, and the alarms that last.
const (
	rulesInForce  = "Rules"
	alarmsInForce = "Alarms"
)

// judged remembers what could not be taken, so that it does not cross the link again with every heartbeat.
func (g *government) judged(node string, has peer.Rules, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.refused[node] = has
	} else {
		delete(g.refused, node)
	}
}

// adopt takes over the document of another node.
func (g *government) adopt(body []byte) error {
	var e rulestore.Entry
	if err := json.Unmarshal(body, &e); err != nil {
		return fmt.Errorf("its rules are not as this node reads them (%w): is it of another version?", err)
	}
	return g.rules.Adopt(e)
}
