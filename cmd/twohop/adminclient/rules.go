package adminclient

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
)

const yamlType = "application/yaml"

// Rules returns the document in force; with everywhere also what is in force at each node.
func (c *Client) Rules(ctx context.Context, everywhere bool) (document Rules, err error) {
	path := "/v1/rules"
	if everywhere {
		path += "?scope=mesh"
	}
	err = c.get(ctx, path, &document)
	return document, err
}

// RulesVersion returns one version of the document.
func (c *Client) RulesVersion(ctx context.Context, m Mark) (version Version, err error) {
	err = c.get(ctx, "/v1/rules/versions/"+m.String(), &version)
	return version, err
}

// RulesHistory lists at most limit versions without their texts, the newest first.
func (c *Client) RulesHistory(ctx context.Context, limit int) (versions []Version, err error) {
	var page struct {
		Versions []Version `json:"versions"`
	}
	err = c.get(ctx, "/v1/rules/history?limit="+strconv.Itoa(limit), &page)
	return page.Versions, err
}

// RulesDiff says what leads from one version to another.
func (c *Client) RulesDiff(ctx context.Context, from, to Mark) (d Difference, err error) {
	err = c.get(ctx, "/v1/rules/diff?from="+from.String()+"&to="+to.String(), &d)
	return d, err
}

// JudgeRules has a node judge a document. Nothing changes.
func (c *Client) JudgeRules(ctx context.Context, text []byte) (j Judged, err error) {
	err = c.request(ctx, call{method: http.MethodPost, path: "/v1/rules/validate", body: notNil(text), kind: yamlType}, &j)
	return j, err
}

// PutRules makes a document the one in force at every node, if from is the mark of the one that is, or nil for whatever is there.
// A *RefusalError may have a Conflict or Problems.
func (c *Client) PutRules(ctx context.Context, text []byte, from *Mark, author, reason string) (a Applied, err error) {
	header := matching(from)
	if header == nil {
		header = http.Header{"If-Match": {"*"}}
	}
	// Headers are no place for reasons, which may have any letters.
	err = c.send(ctx, http.MethodPut, "/v1/rules", header, struct {
		Text   string `json:"text"`
		Reason string `json:"reason"`
		Author string `json:"author"`
	}{string(text), reason, author}, &a)
	return a, err
}

// MayPutRules says what a PutRules from that version would be answered.
func (c *Client) MayPutRules(ctx context.Context, text []byte, from Mark, author string) error {
	var a Applied
	return c.send(ctx, http.MethodPut, "/v1/rules", matching(&from), struct {
		Text   string `json:"text"`
		Author string `json:"author"`
		DryRun bool   `json:"dry_run"`
	}{string(text), author, true}, &a)
}

// matching is the header of a change that is made only if a version is in force; nil is for whichever is.
func matching(from *Mark) http.Header {
	if from == nil {
		return nil
	}
	return http.Header{"If-Match": {`"` + from.String() + `"`}}
}

// RollBack makes a new version with the text of an old one, if from is the mark of the one in force, or nil for whatever is there. A
// *RefusalError may have a Conflict or Problems.
func (c *Client) RollBack(ctx context.Context, to Mark, from *Mark, author, reason string, dryRun bool) (a Applied, err error) {
	err = c.send(ctx, http.MethodPost, "/v1/rules/rollback", matching(from), struct {
		To     string `json:"to"`
		Reason string `json:"reason,omitempty"`
		Author string `json:"author"`
		DryRun bool   `json:"dry_run,omitempty"`
	}{to.String(), reason, author, dryRun}, &a)
	return a, err
}

// Switch changes one rule, or, with DryRun, says what that would change and whom it would hit. It does so if from is the mark of the
// version in force, or nil for whatever is there. A *RefusalError may have a Conflict or Problems.
func (c *Client) Switch(ctx context.Context, s Switch, from *Mark) (done Switched, err error) {
	err = c.send(ctx, http.MethodPost, "/v1/switches", matching(from), s, &done)
	return done, err
}

// ExplainCall says why a call was refused.
func (c *Client) ExplainCall(ctx context.Context, rpcID string) (e Explanation, err error) {
	err = c.get(ctx, "/v1/rules/explain?rpc_id="+url.QueryEscape(rpcID), &e)
	return e, err
}

// ExplainWhatIf says what would become of a call. Its facts are caller, module, method, group, ip, instance, external.
func (c *Client) ExplainWhatIf(ctx context.Context, facts map[string]string) (e Explanation, err error) {
	err = c.get(ctx, "/v1/rules/explain?"+query(facts), &e)
	return e, err
}

// Refused lists calls that rules have refused lately, and says which nodes were not heard. The filter has caller, module, method,
// rule, limit.
func (c *Client) Refused(ctx context.Context, filter map[string]string) (refused []Refused, nodes []Heard, err error) {
	var page struct {
		Refusals []Refused `json:"refusals"`
		Nodes    []Heard   `json:"nodes"`
	}
	err = c.get(ctx, "/v1/rules/refused?scope=mesh&"+query(filter), &page)
	return page.Refusals, page.Nodes, err
}

// query writes what is not empty as parameters.
func query(fields map[string]string) string {
	values := url.Values{}
	for key, value := range fields {
		if value != "" {
			values.Set(key, value)
		}
	}
	return values.Encode()
}

func notNil(text []byte) []byte {
	if text == nil {
		return []byte{}
	}
	return text
}

// Conflict returns what somebody else has changed meanwhile, if that is why the node refuses.
func (r *RefusalError) Conflict() (c Conflict, ok bool) {
	return c, r.Status == http.StatusPreconditionFailed && json.Unmarshal(r.Body, &c) == nil && (c.Has.Hash != "" || c.NoSuch)
}

// Invalid returns what is wrong with a document, if that is why the node refuses.
func (r *RefusalError) Invalid() (i Invalid, ok bool) {
	return i, r.Status == http.StatusBadRequest && json.Unmarshal(r.Body, &i) == nil && len(i.Problems) > 0
}

// Switches returns the switches that there are, if the node refuses because there is none such.
func (r *RefusalError) Switches() (switches []SwitchRule, ok bool) {
	var body struct {
		Switches []SwitchRule `json:"switches"`
	}
	ok = r.Status == http.StatusNotFound && json.Unmarshal(r.Body, &body) == nil && body.Switches != nil
	return body.Switches, ok
}

// Away reports whether nobody listened where a node was to be asked.
func Away(err error) bool {
	_, away := errors.AsType[*AwayError](err)
	return away
}
