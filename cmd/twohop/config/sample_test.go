package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/twohop/twohop/messageserver"
)

const samples = "../../../configs"

// beside is what the samples refer to.
var (
	besideFiles = map[string]string{"secrets/pay-1": "0123456789abcdef\n", "secrets/pay-2": "fedcba9876543210\n"}
	besideEnv   = []string{"WEB_SECRET=0123456789abcdef"}
)

func TestEverySampleLoads(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(samples, "*.yaml"))
	if err != nil || len(files) < 2 {
		t.Fatalf("found %q in %s: %v", files, samples, err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			// A copy, because what it refers to must not lie about in the repository.
			file := write(t, string(text), 0o644)
			for name, secret := range besideFiles {
				path := filepath.Join(filepath.Dir(file), name)
				if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(secret), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := Load(Input{File: file, Env: besideEnv}); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestTheFullSampleIsTheDefault: every key stands there, has a line of explanation above it or its group, and its value is
// the default.
func TestTheFullSampleIsTheDefault(t *testing.T) {
	file := filepath.Join(samples, "messageserver.yaml")
	c, err := Load(Input{File: file})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range append(keys, lists...) {
		if c.Origin(k.name).source != inFile {
			t.Errorf("%s does not stand in %s", k.name, file)
		}
	}
	got, want := c.Options, messageserver.Options{}.WithDefaults()
	want.Log = nil
	want.Auth.Modules = nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the sample differs from the defaults (-default +sample):\n%s", diff)
	}
}

func TestWhatIsPrintedLoadsAgain(t *testing.T) {
	c, err := Load(Input{Flags: []Flag{{"node", "node", "yes"}, {"set", "calls.max_kept_bytes", "1GiB"}}})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := c.Print(&text); err != nil {
		t.Fatal(err)
	}
	again, err := Load(Input{File: write(t, text.String(), 0o600)})
	if err != nil {
		t.Fatalf("%v\n%s", err, text.String())
	}
	want, got := c.Options.WithDefaults(), again.Options.WithDefaults()
	want.Log, got.Log = nil, nil
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
	if !strings.Contains(text.String(), "max_kept_bytes: 1073741824 # --set") {
		t.Errorf("the origin of a flag is not told:\n%s", text.String())
	}
}

func TestPrintHidesSecrets(t *testing.T) {
	file := write(t, `
auth:
  mode: secret
  modules:
    - {module: web, secret: 0123456789abcdef}
`, 0o600)
	c, err := Load(Input{File: file})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := c.Print(&text); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text.String(), "0123456789abcdef") || !strings.Contains(text.String(), "***") {
		t.Errorf("the secret is not hidden:\n%s", text.String())
	}
	var any map[string]any
	if err := yaml.Unmarshal([]byte(text.String()), &any); err != nil {
		t.Error(err)
	}
}

// write puts text into a file of a folder of its own.
func write(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "f.yaml")
	if err := os.WriteFile(file, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil {
		t.Fatal(err)
	}
	return file
}
