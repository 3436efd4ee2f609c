package main

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// TestMethodsThatNobodyCallsAreNotLinked: one template that can be run makes the program a third larger.
func TestMethodsThatNobodyCallsAreNotLinked(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads an ELF file")
	}
	path := filepath.Join(t.TempDir(), "twohop")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-buildvcs=false", "-o", path, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	program, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer program.Close()
	symbols, err := program.Symbols()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range symbols {
		if strings.HasPrefix(s.Name, "text/template.(*Template).Execute") || strings.HasPrefix(s.Name, "html/template.(*Template).Execute") {
			t.Errorf("%s is linked: whoever calls it makes the linker keep every method of every type (go build -ldflags=-dumpdep says who)", s.Name)
		}
	}
	if info, err := os.Stat(path); err != nil || len(symbols) == 0 {
		t.Errorf("%v, %v, %d symbols", info, err, len(symbols))
	}
}

func TestVersionByFlag(t *testing.T) {
	for _, flag := range []string{"--version", "-v"} {
		var out, errs bytes.Buffer
		if code := run([]string{flag}, nil, &out, &errs); code != exitOK || errs.Len() != 0 || out.String() != readBuild().text()+"\n" {
			t.Errorf("%s: exit code %d, stdout %q, stderr %q", flag, code, out.String(), errs.String())
		}
	}
}
