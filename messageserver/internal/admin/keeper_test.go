package admin

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/twohop/twohop/messageserver/internal/rulestore"
)

// TestWithoutTheKeeperOperatorsHearWhatToDo: nothing can be changed then, and what is in force stays.
func TestWithoutTheKeeperOperatorsHearWhatToDo(t *testing.T) {
	store := rulestore.NewRemote(func(context.Context, string, []byte) ([]byte, error) {
		return nil, errors.New("peer: the link to node c is not up")
	})
	a := governFrom(t, store, "a", "b").nodes["a"]
	const want = "the keeper of the rules is not reached (peer: the link to node c is not up)"
	wantAdvice := func(what string, status int, text string) {
		t.Helper()
		if status != http.StatusServiceUnavailable || !strings.Contains(text, want) || !strings.Contains(text, "start it") || strings.Contains(text, "rulestore") {
			t.Errorf("%s: %d, %s", what, status, text)
		}
	}
	off := a.turn(`{"action": "off", "module": "pay", "reason": "r"}`)
	wantAdvice("a switch", off.Status, off.Error)
	put := a.putRules("*", payLimit)
	wantAdvice("a document", put.Status, put.Error)
	a.wantText("/v1/rules/history", http.StatusServiceUnavailable, want)
}
