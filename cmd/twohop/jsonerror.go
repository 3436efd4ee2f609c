package main

import (
	"encoding/json"
	"errors"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"github.com/twohop/twohop/cmd/twohop/adminclient"
	"github.com/twohop/twohop/cmd/twohop/output"
)

// written knows whether anything was written.
type written struct {
	io.Writer
	any bool
}

func (w *written) Write(text []byte) (int, error) {
	w.any = w.any || len(text) > 0
	return w.Writer.Write(text)
}

// wantsJSON reports whether a command was told to print JSON.
func wantsJSON(cmd *cobra.Command) bool {
	flag := cmd.Flags().Lookup("json")
	return flag != nil && flag.Value.Type() == "bool" && flag.Value.String() == "true"
}

// watchOutput notes whether a command that prints JSON has printed any.
func watchOutput(cmd *cobra.Command, _ []string) {
	if wantsJSON(cmd) {
		cmd.SetOut(&written{Writer: cmd.OutOrStdout()})
	}
}

// printError prints an error as JSON, if the command was told to print JSON and has printed none: who reads it always gets an
// object. What a node has said besides its reason stands in it, too.
func printError(cmd *cobra.Command, args []string, coded *exitError) {
	wants := wantsJSON(cmd) || cmd.Flags().Lookup("json") != nil && slices.Contains(args, "--json") // the flag before it may be wrong
	if w, is := cmd.OutOrStdout().(*written); !wants || coded.err == nil || is && w.any {
		return
	}
	object := map[string]any{}
	if r, is := errors.AsType[*adminclient.RefusalError](coded.err); is {
		_ = json.Unmarshal(r.Body, &object) // else it has nothing besides
	}
	object["error"], object["exit_code"] = coded.err.Error(), coded.code
	_ = output.JSON(cmd.OutOrStdout(), object) // there is nobody else to tell
}

// becauseError is an error that a node's refusal has led to; it is said in other words than the node's.
type becauseError struct {
	error
	refusal *adminclient.RefusalError
}

// Unwrap returns the error, and the refusal that was behind it.
func (e *becauseError) Unwrap() []error { return []error{e.error, e.refusal} }

// because remembers the refusal that an error stands for.
func because(r *adminclient.RefusalError, err error) error {
	if coded, is := errors.AsType[*exitError](err); is {
		return &exitError{coded.code, &becauseError{coded.err, r}}
	}
	return &becauseError{err, r}
}
