package adminclient

import (
	"bytes"
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
	return c.request(ctx, http.MethodGet, path, "", nil, into)
}

// request asks for a path, and reads the answer into into. Match is the If-Match of a change.
func (c *Client) request(ctx context.Context, method, path, match string, body []byte, into any) error {
	url := "http://" + c.address + path
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("the admin address is %q: %w", c.address, err)
	}
	if match != "" {
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("If-Match", `"`+match+`"`)
	}
	response, err := c.http.Do(request)
	if err != nil {
		if errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("no node answers at %s: start one with `twohop messageserver`, "+
				"or name its admin address with --admin", c.address)
		}
		return fmt.Errorf("asking the node at %s: %w", c.address, err)
	}
	defer func() { _ = response.Body.Close() }() // it has been read
	body, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return fmt.Errorf("asking the node at %s: %w", c.address, err)
	}
	if response.StatusCode != http.StatusOK {
		var refusal struct {
			Error string `json:"error"`
		}
		if json.Unmarshal(body, &refusal) == nil && refusal.Error != "" {
			return fmt.Errorf("the node at %s refuses %s: %s", c.address, path, refusal.Error)
		}
		return fmt.Errorf("%s answers %s: is it the admin address of a node?", url, response.Status)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return fmt.Errorf("%s does not answer as a node does (%w): is it the admin address of one?", url, err)
	}
	return nil
}
