package admin

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
)

// answer writes v as JSON that people can read, too.
func answer(w http.ResponseWriter, status int, v any) {
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		status, text = http.StatusInternalServerError, []byte(`{"error": "the answer cannot be written as JSON"}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // who asked has gone
}

func refuse(w http.ResponseWriter, status int, why string) {
	answer(w, status, struct {
		Error string `json:"error"`
	}{why})
}

// maxPage is the most rows of one answer.
const maxPage = 500

// page is the part of a list that is asked for by offset and limit.
type page struct{ offset, limit int }

func readPage(query url.Values) (page, error) {
	p := page{limit: maxPage}
	for key, to := range map[string]struct {
		value    *int
		min, max int
	}{
		"offset": {&p.offset, 0, 1 << 30},
		"limit":  {&p.limit, 1, maxPage},
	} {
		text := query.Get(key)
		if text == "" {
			continue
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < to.min || n > to.max {
			return p, fmt.Errorf("%s is %q, must be a number from %d to %d", key, text, to.min, to.max)
		}
		*to.value = n
	}
	return p, nil
}

// cut returns the rows of a page.
func cut[T any](rows []T, p page) []T {
	from := min(p.offset, len(rows))
	return rows[from:min(from+p.limit, len(rows))]
}
