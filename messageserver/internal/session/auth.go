package session

import (
	"crypto/rand"
	"fmt"
	"strconv"

	"github.com/twohop/twohop/internal/scram"
)

// keyName is how a key id stands in the directory: empty where a client names none.
func keyName(id uint32) string {
	if id == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(id), 10)
}

// newDirectory derives what logins are checked against, so that no secret is kept.
func newDirectory(keys map[string]ModuleKeys) (*scram.Directory, error) {
	type user struct{ module, key string }
	known := make(map[user]scram.Credentials)
	for module, byID := range keys {
		for id, secret := range byID {
			c, err := scram.Derive(secret, 0)
			if err != nil {
				return nil, fmt.Errorf("secret %d of module %s: %w", id, module, err)
			}
			known[user{module, keyName(id)}] = c
		}
	}
	d := &scram.Directory{
		Secret: make([]byte, 32),
		Lookup: func(module, key string) (scram.Credentials, bool) {
			c, ok := known[user{module, key}]
			return c, ok
		},
	}
	_, _ = rand.Read(d.Secret) // never fails, says its doc
	return d, d.Validate()
}
