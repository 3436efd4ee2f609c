package adminclient

import (
	"context"
	"fmt"
	"net/http"
)

// Mesh tells of the members, and how the links to them are; with everywhere also which list each of them has.
func (c *Client) Mesh(ctx context.Context, everywhere bool) (mesh Mesh, err error) {
	path := "/v1/mesh"
	if everywhere {
		path += "?scope=mesh"
	}
	err = c.get(ctx, path, &mesh)
	return mesh, err
}

// Links tells of every node's end of every link.
func (c *Client) Links(ctx context.Context) (links Links, err error) {
	err = c.get(ctx, "/v1/links", &links)
	return links, err
}

// Loads tells how busy every node is, or this one only.
func (c *Client) Loads(ctx context.Context, everywhere bool) (loads Loads, err error) {
	path := "/v1/load"
	if everywhere {
		path += "?scope=mesh"
	}
	err = c.get(ctx, path, &loads)
	return loads, err
}

// MeshRegistry lists the modules that all nodes serve, and says which nodes were not heard; a node that was not heard for one
// of the pages is one of them.
func (c *Client) MeshRegistry(ctx context.Context) (modules []Module, nodes []Heard, err error) {
	modules, err = list(func(offset int) ([]Module, int, error) {
		var page struct {
			Total   int      `json:"total"`
			Nodes   []Heard  `json:"nodes"`
			Modules []Module `json:"modules"`
		}
		err := c.get(ctx, fmt.Sprintf("/v1/registry?scope=mesh&offset=%d", offset), &page)
		nodes = worse(nodes, page.Nodes)
		return page.Modules, page.Total, err
	})
	return modules, nodes, err
}

// worse adds what is new in b to a: nodes, and reasons why one was not heard.
func worse(a, b []Heard) []Heard {
	for _, node := range b {
		known := false
		for i := range a {
			if a[i].Node == node.Node {
				known = true
				if a[i].Error == "" {
					a[i].Error = node.Error
				}
			}
		}
		if !known {
			a = append(a, node)
		}
	}
	return a
}

// SetMembers writes the list of members at every node. Hash is that of the list that the change was made from; with force, nodes
// that have another one than the node that is asked get it, too. If the
// node refuses, nothing was changed; without its answer that is not known, and Mesh tells.
func (c *Client) SetMembers(ctx context.Context, hash string, members []Member, force bool) (change Change, err error) {
	path := "/v1/members"
	if force {
		path += "?force=true"
	}
	err = c.send(ctx, http.MethodPut, path, http.Header{"If-Match": {`"` + hash + `"`}}, struct {
		Members []Member `json:"members"`
	}{members}, &change)
	return change, err
}
