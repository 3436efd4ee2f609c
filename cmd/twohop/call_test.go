package main

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/twohop/twohop/rpcclient-sdk"
)

func TestExitCodesAreTheClasses(t *testing.T) {
	for class, want := range map[rpcclient.Class]int{
		rpcclient.Success: 0, rpcclient.NotExecuted: 10, rpcclient.Executed: 11, rpcclient.Unknown: 12, 77: 12,
	} {
		if got := exitOf(class); got != want {
			t.Errorf("%v: %d, want %d", class, got, want)
		}
	}
}

// TestTheDoorWaitsForEveryAddress: only when all of them have failed, and none was open before, is there no node.
func TestTheDoorWaitsForEveryAddress(t *testing.T) {
	ctx, end := context.WithCancelCause(t.Context())
	defer end(nil)
	d := newDoor("unix:/nowhere/a, unix:/nowhere/b,unix:/nowhere/a", end)
	fail := func(address string) {
		t.Helper()
		if c, err := d.dial(ctx, address); err == nil {
			c.Close()
			t.Fatalf("%s answers", address)
		}
	}
	fail("unix:/nowhere/a")
	fail("unix:/nowhere/a")
	if err := context.Cause(ctx); err != nil {
		t.Fatalf("it ended after one of two: %v", err)
	}
	fail("unix:/nowhere/b")
	var none *noNodeError
	if err := context.Cause(ctx); !errors.As(err, &none) || !strings.Contains(err.Error(), "/nowhere/a") || !strings.Contains(err.Error(), "/nowhere/b") {
		t.Errorf("it ended with %v", err)
	}
}

func TestMethodsEndAtTheLastDot(t *testing.T) {
	for name, want := range map[string]string{"a.b": "a b", "a.b.c": "a.b c", "a": " ", "a.": "a ", ".b": " b"} {
		module, method, _ := cutMethod(name)
		if got := module + " " + method; got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
