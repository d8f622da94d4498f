package clients

import (
	"fmt"
	"net"
	"testing"

	db "github.com/kurrent-io/KurrentDB-Client-Go/kurrentdb"
)

func TestPortVersion(t *testing.T) {
	client := plain(t, serve(t))
	version, err := client.GetServerVersion()
	must(t, err)
	equal(t, version.IsAtLeast(26, 1, 0), true)
}

func TestPortGossip(t *testing.T) {
	server := serve(t)
	members, err := plain(t, server).Gossip(soon(t))
	must(t, err)
	equal(t, len(members), 1)
	equal(t, fmt.Sprintln(members[0].State, members[0].IsAlive, members[0].HttpEndPoint.Address, members[0].HttpEndPoint.Port), fmt.Sprintln("Leader", true, "127.0.0.1", server.port))
	// Found among several, of which the others are not there.
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	must(t, listener.Close())
	for _, hosts := range []string{fmt.Sprintf("kurrentdb://127.0.0.1:%d,%s", server.port, listener.Addr()), fmt.Sprintf("kurrentdb+discover://127.0.0.1:%d", server.port)} {
		appendTo(t, connect(t, hosts+"?tls=false"), fresh("go"), db.NoStream{}, "A")
	}
}
