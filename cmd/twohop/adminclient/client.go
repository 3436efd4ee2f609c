package adminclient

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"
)

const (
	timeout   = 10 * time.Second // of one request: a node waits at most 4 s for the others
	maxAnswer = 64 << 20         // bytes; a page of 500 modules with 1,024 methods each is smaller
)

// Client asks one node. Safe for concurrent use.
type Client struct {
	address string
	http    *http.Client
}

// New returns a client of the node whose admin listener is at address, host:port.
func New(address string) (*Client, error) {
	address = strings.TrimSuffix(strings.TrimPrefix(address, "http://"), "/")
	if host, port, err := net.SplitHostPort(address); err != nil || host == "" || port == "" {
		return nil, fmt.Errorf("the admin address is %q, must be host:port, as 127.0.0.1:7071", address)
	}
	return &Client{address: address, http: &http.Client{
		Timeout:   timeout,
		Transport: &http.Transport{DisableKeepAlives: true}, // no proxy: the node is on this machine
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return errors.New("it answers with a redirect: it is no node of twohop")
		},
	}}, nil
}

// Info describes the node.
func (c *Client) Info(ctx context.Context) (info Info, err error) {
	err = c.get(ctx, "/v1/info", &info)
	return info, err
}

// Sessions lists the node's sessions.
func (c *Client) Sessions(ctx context.Context) ([]Session, error) {
	return list(func(offset int) ([]Session, int, error) {
		var page struct {
			Total    int       `json:"total"`
			Sessions []Session `json:"sessions"`
		}
		err := c.get(ctx, fmt.Sprintf("/v1/sessions?offset=%d", offset), &page)
		return page.Sessions, page.Total, err
	})
}

// Registry lists the modules that the node can reach.
func (c *Client) Registry(ctx context.Context) ([]Module, error) {
	return list(func(offset int) ([]Module, int, error) {
		var page struct {
			Total   int      `json:"total"`
			Modules []Module `json:"modules"`
		}
		err := c.get(ctx, fmt.Sprintf("/v1/registry?offset=%d", offset), &page)
		return page.Modules, page.Total, err
	})
}

// list reads page after page. It is never nil where there is no error.
func list[T any](read func(offset int) (rows []T, total int, err error)) ([]T, error) {
	all := []T{}
	for {
		rows, total, err := read(len(all))
		if err != nil {
			return nil, err
		}
		all = append(all, rows...)
		if len(rows) == 0 || len(all) >= total {
			return all, nil
		}
	}
}

func (c *Client) get(ctx context.Context, path string, into any) error {
	return c.request(ctx, call{path: path}, into)
}

// call is one request.
type call struct {
	method string // default GET
	path   string // with its parameters
	body   []byte
	kind   string      // Content-Type of the body; default application/json
	header http.Header // may be nil
}

// send sends a body as JSON and reads the answer.
func (c *Client) send(ctx context.Context, method, path string, header http.Header, body, into any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	return c.request(ctx, call{method: method, path: path, body: text, header: header}, into)
}

// request asks, and reads the answer into into. A node that refuses is a *RefusalError.
func (c *Client) request(ctx context.Context, ask call, into any) error {
	response, err := c.open(ctx, c.http, ask)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }() // it has been read
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("asking the node at %s: %w", c.address, err)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("http://%s%s does not answer as a node does (%w): is it the admin address of one?", c.address, ask.path, err)
	}
	return nil
}

// open asks, and returns an answer that is none of an error. Its body must be closed.
func (c *Client) open(ctx context.Context, through *http.Client, ask call) (*http.Response, error) {
	url := "http://" + c.address + ask.path
	request, err := http.NewRequestWithContext(ctx, cmp.Or(ask.method, http.MethodGet), url, bytes.NewReader(ask.body))
	if err != nil {
		return nil, fmt.Errorf("the admin address is %q: %w", c.address, err)
	}
	if ask.header != nil {
		request.Header = ask.header.Clone()
	}
	if ask.body != nil {
		request.Header.Set("Content-Type", cmp.Or(ask.kind, "application/json"))
	}
	response, err := through.Do(request)
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) {
			return nil, &AwayError{c.address, err}
		}
		if notHTTP(err) {
			return nil, fmt.Errorf("what listens at %s does not speak HTTP (%w): it is no operators' listener, and perhaps that of the modules; "+
				"--admin names where operators connect, by default 127.0.0.1:7071", c.address, errors.Unwrap(err))
		}
		return nil, fmt.Errorf("asking the node at %s: %w", c.address, err)
	}
	if response.StatusCode == http.StatusOK {
		return response, nil
	}
	defer func() { _ = response.Body.Close() }() // it has been read
	refusal := &RefusalError{Address: c.address, Path: ask.path, Status: response.StatusCode}
	if refusal.Body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer)); err != nil {
		return nil, fmt.Errorf("asking the node at %s: %w", c.address, err)
	}
	var text struct {
		Error string   `json:"error"`
		Paths []string `json:"paths"`
	}
	if json.Unmarshal(refusal.Body, &text) != nil || text.Error == "" {
		return nil, fmt.Errorf("%s answers %s: is it the admin address of a node?", url, response.Status)
	}
	refusal.Message, refusal.unknownPath = text.Error, response.StatusCode == http.StatusNotFound && len(text.Paths) > 0
	return nil, refusal
}

// notHTTP reports whether who was asked has hung up, or has said something else, in place of an answer.
func notHTTP(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || strings.Contains(err.Error(), "malformed HTTP")
}

// commands are what operators type for what a node names by its path.
var commands = strings.NewReplacer("GET /v1/rules/history", "`twohop rules history`", "GET /v1/rules says", "`twohop rules status` says")

// AwayError says that nothing listens at the address.
type AwayError struct {
	Address string
	err     error
}

// Error says what to do.
func (e *AwayError) Error() string {
	return fmt.Sprintf("no node answers at %s: start one with `twohop messageserver`, or name its admin address with --admin", e.Address)
}

// Unwrap returns the error of the connection.
func (e *AwayError) Unwrap() error { return e.err }

// RefusalError is the answer of a node that does not do what it was asked.
type RefusalError struct {
	Address string
	Path    string
	Status  int    // of HTTP
	Message string // as the node has put it
	Body    []byte // all that it has said, JSON

	unknownPath bool
}

// Error says who refuses what, and why.
func (r *RefusalError) Error() string {
	if r.unknownPath {
		path, _, _ := strings.Cut(r.Path, "?")
		return fmt.Sprintf("the node at %s does not know %s: it is older than this command; a node of the same version does", r.Address, path)
	}
	return fmt.Sprintf("the node at %s refuses %s: %s", r.Address, r.Path, commands.Replace(r.Message))
}

// Older reports whether the node does not know what it was asked for, because it is older than this client.
func (r *RefusalError) Older() bool { return r.unknownPath }
