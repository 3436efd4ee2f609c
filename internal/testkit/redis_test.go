package testkit

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
)

func TestRedisKeepsItsDataOverAKill(t *testing.T) {
	r := Redis(t)
	wantRedis(t, r, "SET k v", "+OK")
	r.Kill()
	r.Kill()
	if c, err := net.Dial("unix", r.Address); err == nil {
		c.Close()
		t.Error("it answers after it was killed")
	}
	r.Start()
	wantRedis(t, r, "EXISTS k", ":1")
	r.Wipe()
	r.Start()
	wantRedis(t, r, "EXISTS k", ":0")
}

func wantRedis(t *testing.T, r *RedisServer, command, want string) {
	t.Helper()
	c, err := net.Dial("unix", r.Address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "%s\r\n", command)
	got, err := bufio.NewReader(c).ReadString('\n')
	if err != nil || strings.TrimSpace(got) != want {
		t.Errorf("%s: %q, %v, want %s", command, got, err, want)
	}
}
