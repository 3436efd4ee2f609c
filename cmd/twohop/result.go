package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/twohop/twohop/cmd/twohop/output"
	"github.com/twohop/twohop/rpcclient-sdk"
)

// result is how a call ended.
type result struct {
	Method  string
	raw     bool
	body    []byte
	err     *rpcclient.Error // nil: it succeeded
	other   error            // not the end of a call
	receipt rpcclient.Receipt
	total   time.Duration
	session atomic.Uint64
}

func (r *result) connected(c rpcclient.Connection) { r.session.Store(c.Session) }

// end notes how the call ended. A call that had no node says why there was none.
func (r *result) end(err, cause error, state rpcclient.State) {
	if err == nil {
		return
	}
	var e *rpcclient.Error
	if !errors.As(err, &e) {
		r.other = err
		return
	}
	told := *e
	var none *noNodeError
	switch {
	case errors.As(cause, &none):
		told.Code, told.Message = rpcclient.CodeNoRoute, none.Error()
	case r.session.Load() == 0 && told.Node == "" && state.LastError != nil:
		told.Message += "; there was no session: " + state.LastError.Error()
	case r.session.Load() == 0 && told.Node == "":
		told.Message += fmt.Sprintf("; there was no session (%s, %s): is it where modules connect?", state.Name, state.Address)
	}
	r.err = &told
}

func (r *result) print(out, errs io.Writer, f *callFlags) error {
	if r.other != nil {
		return r.other
	}
	var written error
	switch {
	case f.asJSON:
		written = output.JSON(out, r.view())
	case r.err == nil && f.raw:
		_, written = out.Write(r.body)
	case r.err == nil:
		written = output.Body(out, r.body)
	}
	if written == nil && f.verbose {
		written = r.explain(errs)
	}
	switch {
	case written != nil:
		return written
	case r.err == nil:
		return nil
	case f.asJSON:
		return &exitError{code: exitOf(r.err.Class)}
	default:
		return &exitError{code: exitOf(r.err.Class), err: errors.New(output.Line(r.err.Error()))}
	}
}

// explain writes what is known about the call besides its body.
func (r *result) explain(w io.Writer) error {
	v := r.view()
	for _, line := range []struct{ name, text string }{
		{"status", v.Code + " (" + v.Class + ")"},
		{"rpc id", v.RPCID},
		{"session", v.Session},
		{"call id", v.CallID},
		{"answered by", v.receiver()},
		{"attempts", fmt.Sprint(v.Attempts)},
		{"in nodes", v.hops()},
		{"in all", r.total.Round(time.Microsecond).String()},
	} {
		if line.text == "" || line.text == "0" {
			continue
		}
		if _, err := fmt.Fprintf(w, "%-12s %s\n", line.name, output.Line(line.text)); err != nil {
			return err
		}
	}
	return nil
}

// view is a result as JSON. Ids have 63 bits, which is more than numbers in JSON are safe for.
type view struct {
	OK          bool              `json:"ok"`
	Method      string            `json:"method"`
	Class       string            `json:"class"`
	Code        string            `json:"code"`
	Message     string            `json:"message,omitempty"`
	AppCode     string            `json:"app_code,omitempty"`
	Details     map[string]string `json:"details,omitempty"`
	Body        any               `json:"body,omitempty"`        // JSON
	BodyText    *string           `json:"body_text,omitempty"`   // other text
	BodyBase64  string            `json:"body_base64,omitempty"` // other bytes
	RPCID       string            `json:"rpc_id,omitempty"`
	Session     string            `json:"session,omitempty"`
	CallID      string            `json:"call_id,omitempty"`
	Node        string            `json:"node,omitempty"`
	Rule        string            `json:"rule_id,omitempty"`
	RuleVersion uint64            `json:"rule_version,omitempty"`
	Receiver    *receiver         `json:"receiver,omitempty"`
	Unknown     []receiver        `json:"unknown,omitempty"`
	Try         []string          `json:"try,omitempty"`
	RetryAfter  int64             `json:"retry_after_ms,omitempty"`
	Attempts    int               `json:"attempts,omitempty"`
	Hops        []hop             `json:"hops,omitempty"`
	Micros      int64             `json:"micros"`
}

type receiver struct {
	Module   string `json:"module"`
	Instance string `json:"instance"`
	UUID     string `json:"uuid,omitempty"`
	Node     string `json:"node,omitempty"`
}

type hop struct {
	Node   string `json:"node"`
	Micros int64  `json:"micros"`
}

func (r *result) view() view {
	v := view{
		OK: r.err == nil, Method: r.Method, Class: rpcclient.Success.String(), Code: rpcclient.CodeOK.String(),
		RPCID: id(r.receipt.RPCID), Session: id(r.session.Load()), Attempts: r.receipt.Attempts, Micros: r.total.Microseconds(),
	}
	body := r.body
	if e := r.err; e != nil {
		v.Class, v.Code, v.Message = e.Class.String(), e.Code.String(), e.Message
		v.AppCode, v.Details, v.CallID, v.Node = e.AppCode, e.Details, id(e.CallID), e.Node
		v.Rule, v.RuleVersion, v.Try, v.RetryAfter = e.RuleID, e.RuleVersion, e.Try, e.RetryAfter.Milliseconds()
		if e.RPCID != 0 {
			v.RPCID = id(e.RPCID)
		}
		if e.Session != 0 {
			v.Session = id(e.Session)
		}
		v.Attempts = max(v.Attempts, e.Attempts)
		for _, u := range e.Unknown {
			v.Unknown = append(v.Unknown, receiver(u))
		}
		body = e.Fallback
	}
	if r.receipt.Receiver.Instance != "" {
		who := receiver(r.receipt.Receiver)
		v.Receiver = &who
	}
	for _, h := range r.receipt.Hops {
		v.Hops = append(v.Hops, hop{h.Node, h.Time.Microseconds()})
	}
	v.setBody(body, r.raw)
	return v
}

// setBody puts a body where it can be read: JSON as JSON, unless it was asked for as bytes.
func (v *view) setBody(body []byte, raw bool) {
	switch {
	case len(body) == 0:
	case !raw && json.Valid(body):
		v.Body = json.RawMessage(body)
	case !raw && utf8.Valid(body):
		text := string(body)
		v.BodyText = &text
	default:
		v.BodyBase64 = base64.StdEncoding.EncodeToString(body)
	}
}

func (v *view) receiver() string {
	if v.Receiver == nil {
		return ""
	}
	text := v.Receiver.Module + "/" + v.Receiver.Instance
	if v.Receiver.Node != "" {
		text += " at node " + v.Receiver.Node
	}
	return text
}

func (v *view) hops() string {
	var hops []string
	for _, h := range v.Hops {
		hops = append(hops, h.Node+" "+(time.Duration(h.Micros)*time.Microsecond).String())
	}
	return strings.Join(hops, ", ")
}

func id(n uint64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// checkJSON says where a text stops being JSON.
func checkJSON(text []byte) error {
	var any json.RawMessage
	return json.Unmarshal(text, &any)
}
