package adminclient

import (
	"fmt"
	"strconv"
	"strings"
)

// Mark is the version of a document of rules. The zero Mark is the state before the first document.
type Mark struct {
	Epoch   uint64 `json:"epoch"`
	Version uint64 `json:"version"`
}

// String writes it as operators do: epoch.version, as 1.7.
func (m Mark) String() string { return fmt.Sprintf("%d.%d", m.Epoch, m.Version) }

// Less reports whether m is older than o.
func (m Mark) Less(o Mark) bool {
	return m.Epoch < o.Epoch || m.Epoch == o.Epoch && m.Version < o.Version
}

// ParseMark reads what String writes.
func ParseMark(text string) (Mark, error) {
	epoch, version, ok := strings.Cut(text, ".")
	e, err1 := strconv.ParseUint(epoch, 10, 64)
	v, err2 := strconv.ParseUint(version, 10, 64)
	if !ok || err1 != nil || err2 != nil {
		return Mark{}, fmt.Errorf("%q is no version of the rules, must be epoch.version, as 1.7: `twohop rules history` lists them", text)
	}
	return Mark{e, v}, nil
}
