package config

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
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
	besideEnv   = []string{"WEB_SECRET=0123456789abcdef", "MESH_SECRET=0123456789abcdef"}
)

// sampleNodes are the samples of nodes; mesh/members.yaml is another kind of file.
func sampleNodes(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(samples, "*.yaml"))
	if err != nil || len(files) < 2 {
		t.Fatalf("found %q in %s: %v", files, samples, err)
	}
	// A document of rules is no configuration; governance/rules loads that sample.
	files = slices.DeleteFunc(files, func(file string) bool { return filepath.Base(file) == "rules.yaml" })
	mesh, err := filepath.Glob(filepath.Join(samples, "mesh", "[a-z].yaml"))
	if err != nil || len(mesh) != 3 {
		t.Fatalf("found %q in %s/mesh: %v", mesh, samples, err)
	}
	return append(files, mesh...)
}

func TestEverySampleLoads(t *testing.T) {
	for _, file := range sampleNodes(t) {
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

// TestTheMeshOfSamplesIsOne: the nodes are those of their list, each with its number and address, and nothing is used twice.
func TestTheMeshOfSamplesIsOne(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(samples, "mesh", "members.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var list struct{ Members []messageserver.Member }
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(&list); err != nil {
		t.Fatal(err)
	}
	var got []messageserver.Member
	used := make(map[string]string)
	for _, name := range []string{"a", "b", "c"} {
		c, err := Load(Input{File: filepath.Join(samples, "mesh", name+".yaml")})
		if err != nil {
			t.Fatal(err)
		}
		o := c.Options
		got = append(got, messageserver.Member{Node: o.Node, Number: o.Number, Address: o.Peers.Listen})
		if want, _ := filepath.Abs(filepath.Join(samples, "mesh", "members.yaml")); o.Peers.MembersFile != want {
			t.Errorf("%s reads %s, want %s", name, o.Peers.MembersFile, want)
		}
		for _, of := range []string{o.Listen, o.Admin.Listen, o.Peers.Listen, o.DataDir} {
			if used[of] != "" {
				t.Errorf("%s is used by %s and %s", of, used[of], name)
			}
			used[of] = name
		}
		o.Peers.MembersFile, o.Peers.Members = "", list.Members
		if err := o.Validate(); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff(list.Members, got); diff != "" {
		t.Errorf("(-members.yaml +nodes):\n%s", diff)
	}
}

func TestPathsInTheFileAreRelativeToIt(t *testing.T) {
	file := write(t, "data_dir: data/a\npeers: {members_file: ../members.yaml}\n", 0o644)
	c, err := Load(Input{File: file, Flags: []Flag{{"set", "peers.members_file", "here.yaml"}}})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := c.Options.DataDir, filepath.Join(filepath.Dir(file), "data/a"); got != want {
		t.Errorf("data_dir is %s, want %s", got, want)
	}
	if got := c.Options.Peers.MembersFile; got != "here.yaml" {
		t.Errorf("the flag's members_file is %s: it is relative to the working directory", got)
	}
	t.Chdir(filepath.Dir(file))
	c, err = Load(Input{File: "f.yaml"})
	if want := filepath.Join(filepath.Dir(filepath.Dir(file)), "members.yaml"); err != nil || c.Options.Peers.MembersFile != want {
		t.Errorf("members_file is %s (%v), want %s", c.Options.Peers.MembersFile, err, want)
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
