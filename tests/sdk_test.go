package tests

import (
	"os"
	"strings"
	"testing"
)

// TestSDKsSayTheSame: what both SDKs give their users by alias is written twice, because neither may import the other, and
// must not drift apart.
func TestSDKsSayTheSame(t *testing.T) {
	read := func(path string) string {
		t.Helper()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		_, body, _ := strings.Cut(string(b), "\n") // the package line
		return body
	}
	client, server := read("../rpcclient-sdk/alias.go"), read("../rpcserver-sdk/alias.go")
	if !strings.HasPrefix(client, strings.TrimRight(server, "\n")) {
		t.Error("rpcserver-sdk/alias.go is not the beginning of rpcclient-sdk/alias.go")
	}
	client, server = read("../rpcclient-sdk/calloption.go"), read("../rpcserver-sdk/calloption.go")
	for part := range strings.SplitSeq(server, "\n\n") {
		if !strings.Contains(client, part) {
			t.Errorf("rpcclient-sdk/calloption.go does not say:\n%s", part)
		}
	}
}
