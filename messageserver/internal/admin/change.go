package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const (
	maxDocument = 10 << 20  // bytes of a document of rules
	maxRequest  = 256 << 10 // bytes of another request
	maxReason   = 1000      // bytes
	maxAuthor   = 200       // bytes
)

// anonymous is who has made a change that names nobody.
const anonymous = "anonymous"

// The Content-Types of changes. A form of a web page can send neither.
const (
	asJSON = "application/json"
	asYAML = "application/yaml"
)

// readBody reads what a change brings, if it is of one of the kinds.
func readBody(w http.ResponseWriter, r *http.Request, most int64, kinds ...string) (body []byte, kind string, status int, err error) {
	kind, _, err = mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || !slices.Contains(kinds, kind) {
		return nil, "", http.StatusUnsupportedMediaType,
			fmt.Errorf("the Content-Type is %q, must be %s", r.Header.Get("Content-Type"), strings.Join(kinds, " or "))
	}
	body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	switch _, large := errors.AsType[*http.MaxBytesError](err); {
	case large:
		return nil, "", http.StatusRequestEntityTooLarge, fmt.Errorf("the body has more than %d bytes, which is the most that is taken", most)
	case err != nil:
		return nil, "", http.StatusBadRequest, fmt.Errorf("the body: %w", err)
	}
	return body, kind, 0, nil
}

// readRequest reads a JSON object strictly.
func readRequest(w http.ResponseWriter, r *http.Request, into any) (status int, err error) {
	body, _, status, err := readBody(w, r, maxRequest, asJSON)
	if err != nil {
		return status, err
	}
	if len(body) == 0 {
		return http.StatusBadRequest, errors.New("the body is missing")
	}
	return http.StatusBadRequest, read(body, into)
}

// account is who makes a change, and why.
type account struct {
	Reason string `json:"reason,omitempty"`
	Author string `json:"author,omitempty"`
	DryRun bool   `json:"dry_run,omitempty"`
}

// check names what is wrong with it, and names the author.
func (a *account) check() error {
	var found []error
	for _, field := range []struct {
		name, value string
		most        int
	}{{"reason", a.Reason, maxReason}, {"author", a.Author, maxAuthor}} {
		switch {
		case len(field.value) > field.most:
			found = append(found, fmt.Errorf("%s: has %d bytes, at most %d are kept", field.name, len(field.value), field.most))
		case !utf8.ValidString(field.value):
			found = append(found, fmt.Errorf("%s: is not UTF-8", field.name))
		}
	}
	if strings.TrimSpace(a.Reason) == "" && !a.DryRun {
		found = append(found, errors.New("reason: is missing: the audit log and the history keep it"))
	}
	switch {
	case strings.TrimSpace(a.Author) == "":
		a.Author = anonymous
	case strings.HasPrefix(a.Author, "file:"):
		found = append(found, fmt.Errorf("author: is %q: file: is for what a file of rules changes", a.Author))
	}
	return errors.Join(found...)
}

// readFlag reads a parameter that is true or false.
func readFlag(query url.Values, name string) (bool, error) {
	switch v := query.Get(name); v {
	case "", "false":
		return false, nil
	case "true":
		return true, nil
	default:
		return false, fmt.Errorf("%s is %q, must be true or false", name, v)
	}
}

// remoteKey is where a context has the address of the operator.
type remoteKey struct{}

// Remote returns the address from which the operator came for whom something is done, "" if nobody did.
func Remote(ctx context.Context) string {
	remote, _ := ctx.Value(remoteKey{}).(string)
	return remote
}

// changeTimeout bounds a change, with asking all nodes about it.
const changeTimeout = 15 * time.Second

// changing returns the context of a change: it goes on when who asked has gone, because half of it is worse than all.
func changing(ctx context.Context, remote string) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithValue(context.WithoutCancel(ctx), remoteKey{}, remote), changeTimeout)
}
