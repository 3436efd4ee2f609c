package quota

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
)

// What one question may have.
const (
	maxLimits = 1_000
	maxKey    = 512     // bytes
	maxBody   = 4 << 20 // bytes: of a thousand limits, each byte of a key escaped
)

// asks is the body of a question.
type asks struct {
	Node   string  `json:"node"`
	Limits []asked `json:"limits"`
}

// asked is one limit of which a lease is asked for.
type asked struct {
	Key    string  `json:"key"`
	Limit  float64 `json:"limit"`  // calls per second, as the asker's rules say
	Demand float64 `json:"demand"` // calls per second
}

// answers is the body of an answer. What is not granted is not in it.
type answers struct {
	Leases []granted `json:"leases"`
}

// granted is one lease.
type granted struct {
	Key     string  `json:"key"`
	Rate    float64 `json:"rate"` // calls per second
	ValidMS int64   `json:"valid_ms"`
}

func encodeQuestion(node string, limits []asked) ([]byte, error) {
	return json.Marshal(asks{Node: node, Limits: limits})
}

func encodeAnswer(leases []granted) ([]byte, error) { return json.Marshal(answers{Leases: leases}) }

// decodeQuestion checks all that a question may get wrong.
func decodeQuestion(body []byte) (q asks, err error) {
	if len(body) > maxBody {
		return asks{}, fmt.Errorf("quota: a question of %d bytes; at most %d", len(body), maxBody)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&q); err != nil {
		return asks{}, fmt.Errorf("quota: the question does not read: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return asks{}, errors.New("quota: there is more after the question")
	}
	if len(q.Limits) > maxLimits {
		return asks{}, fmt.Errorf("quota: %d limits in one question; at most %d", len(q.Limits), maxLimits)
	}
	for i, a := range q.Limits {
		switch {
		case a.Key == "" || len(a.Key) > maxKey:
			return asks{}, fmt.Errorf("quota: limits[%d].key has %d bytes; 1 to %d", i, len(a.Key), maxKey)
		case !isRate(a.Limit):
			return asks{}, fmt.Errorf("quota: limits[%d].limit is %v; 0 to %v", i, a.Limit, mostRate)
		case !isRate(a.Demand):
			return asks{}, fmt.Errorf("quota: limits[%d].demand is %v; 0 to %v", i, a.Demand, mostRate)
		}
	}
	return q, nil
}

// decodeAnswer reads what was granted, by key. Members that it does not know are another version's; what cannot be a lease is
// none.
func decodeAnswer(body []byte) (map[string]granted, error) {
	var a answers
	if err := json.Unmarshal(body, &a); err != nil {
		return nil, fmt.Errorf("quota: the answer does not read: %w", err)
	}
	leases := make(map[string]granted, len(a.Leases))
	for _, g := range a.Leases {
		if isRate(g.Rate) && g.ValidMS >= 0 && g.ValidMS < 1e6 {
			leases[g.Key] = g
		}
	}
	return leases, nil
}

// mostRate is more than any node can have, and far from where arithmetic ends.
const mostRate = 1e12

func isRate(r float64) bool { return !math.IsNaN(r) && r >= 0 && r <= mostRate }
