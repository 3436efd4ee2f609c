package scram

import (
	"bytes"
	"testing"
)

func TestChannelBinding(t *testing.T) {
	other := bytes.Repeat([]byte("x"), 32)
	required := directory(t)
	required.RequireBinding = true
	for _, c := range []struct {
		name           string
		directory      *Directory
		client, server []byte
		want           error
	}{
		{"both", required, binding, binding, nil},
		{"two connections with somebody in between", directory(t), binding, other, ErrBinding},
		{"client only", directory(t), binding, nil, ErrBinding},
		{"server only", directory(t), nil, binding, nil},
		{"server only, required", required, nil, binding, ErrBinding},
		{"required, and there is none", required, nil, nil, ErrBinding},
	} {
		t.Run(c.name, func(t *testing.T) {
			clientErr, serverErr := login(newClient(t, "pay", secret, c.client), newServer(t, c.directory, "k1", c.server), nil)
			want(t, clientErr, nil, serverErr, c.want)
		})
	}
}

func TestBindingCannotBeTakenOutOnTheWay(t *testing.T) {
	_, serverErr := login(newClient(t, "pay", secret, binding), newServer(t, directory(t), "k1", binding), func(n int, m []byte) []byte {
		switch n {
		case 1:
			return bytes.Replace(m, []byte("p=tls-exporter,,"), []byte("n,,"), 1)
		case 3:
			values, _ := fields(m, "c=", "r=", "p=")
			return []byte("c=biws,r=" + values[1] + ",p=" + values[2])
		}
		return m
	})
	want(t, nil, nil, serverErr, ErrCredentials)
}
