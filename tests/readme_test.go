package tests

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/twohop/twohop/messageserver"
)

// TestReadmeSamplesRun pastes the server and the client of the README into files of their own, builds them, and lets one
// call the other through a node at the address that they name.
func TestReadmeSamplesRun(t *testing.T) {
	if testing.Short() {
		t.Skip("builds two programs")
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(".", "readme-samples-") //nolint:usetesting // inside the module, so that the imports resolve
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	node, err := messageserver.New(messageserver.Options{Listen: "127.0.0.1:0", Admin: messageserver.AdminOptions{Listen: "off"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
	defer stop()
	done := make(chan error, 1)
	go func() { done <- node.Run(ctx) }()

	build := func(name string) string {
		t.Helper()
		found := regexp.MustCompile("(?s)```go " + name + "\n(.*?)```").FindSubmatch(readme)
		if found == nil {
			t.Fatalf("README.md has no sample %q", name)
		}
		if lines := strings.Count(string(found[1]), "\n"); lines > 25 {
			t.Errorf("the sample %q has %d lines, is to be short", name, lines)
		}
		source := filepath.Join(dir, name, "main.go")
		if err := os.MkdirAll(filepath.Dir(source), 0o755); err != nil {
			t.Fatal(err)
		}
		// The port of the documentation may be taken here.
		code := strings.ReplaceAll(string(found[1]), "127.0.0.1:7070", node.Addr())
		if err := os.WriteFile(source, []byte(code), 0o644); err != nil {
			t.Fatal(err)
		}
		program := filepath.Join(t.TempDir(), name)
		if out, err := exec.CommandContext(ctx, "go", "build", "-o", program, "./"+filepath.Dir(source)).CombinedOutput(); err != nil {
			t.Fatalf("the sample %q: %v\n%s", name, err, out)
		}
		return program
	}
	server := exec.CommandContext(ctx, build("server"))
	client := build("client")
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Process.Kill(); _ = server.Wait() })
	for ctx.Err() == nil && !node.HasModule("hello") {
		<-time.After(time.Millisecond)
	}
	out, err := exec.CommandContext(ctx, client).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Hello, Ada\n") {
		t.Errorf("the client printed %q, %v", out, err)
	}
	stop()
	<-done
}
