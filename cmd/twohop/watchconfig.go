package main

import (
	"bytes"
	"context"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/twohop/twohop/cmd/twohop/config"
	"github.com/twohop/twohop/messageserver"
)

// Kinds of alarms about a node's configuration, as docs/alarms.md has them.
const (
	restartRequired = "restart_required"
	configInvalid   = "config_invalid"
)

// watchEvery is how often the configuration file is read.
const watchEvery = time.Second

// configWatch notices that the configuration file of a node that runs has changed. A node reads it once: what is other in it
// waits for a restart, and operators hear so.
type configWatch struct {
	// Static after construction.
	running *config.Config
	read    func() (*config.Config, error)
	file    string

	// Guarded by mu.
	mu    sync.Mutex
	kind  string // of the trouble, "" for none
	cause string
	since time.Time
}

func newConfigWatch(cmd *cobra.Command, running *config.Config) *configWatch {
	return &configWatch{running: running, read: func() (*config.Config, error) { return loadConfig(cmd) }, file: cmd.Flag("config").Value.String()}
}

// run reads the file again and again, until ctx is done.
func (w *configWatch) run(ctx context.Context) {
	if w.file == "" {
		return
	}
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	last, _ := os.ReadFile(w.file) // what cannot be read is judged below
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		text, err := os.ReadFile(w.file)
		if err == nil && bytes.Equal(text, last) {
			continue
		}
		last = text
		w.judge()
	}
}

// judge compares what is written with what runs.
func (w *configWatch) judge() {
	next, err := w.read()
	kind, cause := "", ""
	switch {
	case err != nil:
		kind, cause = configInvalid, "the node would not start with what is written now: "+err.Error()
	default:
		if all := w.running.Differ(next); len(all) > 0 {
			kind, cause = restartRequired, strings.Join(all, "; ")
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if kind != w.kind {
		w.since = time.Now()
	}
	w.kind, w.cause = kind, cause
}

// troubles is what messageserver.Options.Troubles wants.
func (w *configWatch) troubles() []messageserver.Trouble {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.kind == "" {
		return nil
	}
	return []messageserver.Trouble{{Kind: w.kind, Peer: w.file, For: time.Since(w.since), Cause: w.cause}}
}
