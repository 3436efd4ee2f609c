package router

import "slices"

// kind is the instances of a module that have the same methods: most modules have one, or two while a newer version comes.
// Work over methods goes by kind and not by instance.
type kind struct {
	methods []*Methods // one, or those of all paths of an instance whose paths differ
	mixed   *entry     // that instance
	chosen  bool       // some instance of it can be chosen
}

// kindsOf returns the kinds of entries, and for each entry the index of its kind.
func kindsOf(entries []*entry) (kinds []*kind, index []int) {
	index = make([]int, len(entries))
	known := make(map[*Methods]int)
	for i, e := range entries {
		at, ok := known[e.methods]
		if !ok || e.methods == nil {
			at = len(kinds)
			known[e.methods] = at
			kinds = append(kinds, newKind(e))
		}
		kinds[at].chosen = kinds[at].chosen || e.choosable()
		index[i] = at
	}
	return kinds, index
}

func newKind(e *entry) *kind {
	if e.methods != nil {
		return &kind{methods: []*Methods{e.methods}}
	}
	k := &kind{mixed: e}
	for _, p := range e.paths {
		if !slices.Contains(k.methods, p.claim.reg.Methods) {
			k.methods = append(k.methods, p.claim.reg.Methods)
		}
	}
	return k
}

// gives reports whether instances of a kind can be chosen for a method.
func (k *kind) gives(m *method) bool {
	switch {
	case !k.chosen:
		return false
	case k.mixed != nil:
		return k.mixed.has(m)
	}
	return m.in(k.methods[0])
}

// buildMethods finds who has which method: an instance whose paths differ has what some path that can be used has. Methods of
// the same instances share their sets.
func (m *module) buildMethods() {
	kinds, index := kindsOf(m.entries)
	var choosable []*entry
	var of []int // the kind of each
	for i, e := range m.entries {
		if e.choosable() {
			choosable, of = append(choosable, e), append(of, index[i])
		}
	}
	common := newGrouping(choosable)
	m.methods = make(map[string]*method)
	m.reserved = &method{module: m, contract: Contract{Idempotent: true}, grouping: common}
	shared := make(map[string]grouping) // by the kinds that have the method
	having := make([]byte, len(kinds))
	for _, meth := range m.listMethods(kinds) {
		m.methods[meth.name] = meth
		all := true
		for i, k := range kinds {
			having[i] = 0
			if k.gives(meth) {
				having[i] = 1
			} else if k.chosen {
				all = false
			}
		}
		if all {
			meth.grouping = common
			continue
		}
		g, ok := shared[string(having)]
		if !ok {
			var members []*entry
			for i, e := range choosable {
				if having[of[i]] == 1 {
					members = append(members, e)
				}
			}
			g = newGrouping(members)
			shared[string(having)] = g
		}
		meth.grouping = g
	}
}

// listMethods returns the methods of all kinds. The contract of a method is what all promise that have it, also those that
// cannot be chosen now.
func (m *module) listMethods(kinds []*kind) map[string]*method {
	list := make(map[string]*method)
	for _, k := range kinds {
		for _, methods := range k.methods {
			for name, c := range methods.ByName {
				if known := list[name]; known != nil {
					known.contract = known.contract.merge(c)
				} else {
					list[name] = &method{module: m, name: name, contract: c}
				}
			}
		}
	}
	return list
}
