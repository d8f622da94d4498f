package clients

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	db "github.com/kurrent-io/KurrentDB-Client-Go/kurrentdb"
)

func TestAuth(t *testing.T) {
	server := serve(t, "--dev", "--write-ca", filepath.Join(os.Getenv("FACTUM_DIRECTORY"), "go-ca.pem"))
	admin, ops, nobody := secure(t, server, "admin:changeit@"), secure(t, server, "ops:changeit@"), secure(t, server, "")
	stream := fresh("go")
	appendTo(t, admin, stream, db.NoStream{}, "A")
	_, err := read(t, ops, stream, db.ReadStreamOptions{})
	must(t, err)
	_, err = nobody.AppendToStream(soon(t), stream, db.AppendToStreamOptions{}, events("X")...)
	refused(t, err, db.ErrorCodeUnauthenticated)
	wrong := secure(t, server, "admin:wrong@")
	_, err = wrong.AppendToStream(soon(t), stream, db.AppendToStreamOptions{}, events("X")...)
	refused(t, err, db.ErrorCodeUnauthenticated)
	_, err = all(t, ops, db.ReadAllOptions{})
	refused(t, err, db.ErrorCodeAccessDenied)
	var set db.StreamMetadata
	var acl db.Acl
	acl.AddReadRoles("admin")
	acl.AddWriteRoles("admin")
	set.SetAcl(acl)
	_, err = admin.SetStreamMetadata(soon(t), stream, db.AppendToStreamOptions{}, set)
	must(t, err)
	_, err = read(t, ops, stream, db.ReadStreamOptions{})
	refused(t, err, db.ErrorCodeAccessDenied)
	_, err = ops.AppendToStream(soon(t), stream, db.AppendToStreamOptions{}, events("X")...)
	refused(t, err, db.ErrorCodeAccessDenied)
	_, err = read(t, ops, stream, db.ReadStreamOptions{Authenticated: &db.Credentials{Login: "admin", Password: "changeit"}})
	must(t, err)

	ca := filepath.Join(server.directory, "..", "go-ca.pem")
	found := connect(t, fmt.Sprintf("kurrentdb+discover://admin:changeit@127.0.0.1:%d?tlsCAFile=%s", server.port, ca))
	appendTo(t, found, stream, db.Any{}, "B")
}

func TestAuthWrongAuthority(t *testing.T) {
	files := [2]string{}
	servers := [2]*server{}
	for at := range servers {
		files[at] = filepath.Join(os.Getenv("FACTUM_DIRECTORY"), fmt.Sprintf("go-ca-%d.pem", at))
		servers[at] = serve(t, "--dev", "--write-ca", files[at])
	}
	to := func(at, authority int) *db.Client {
		text := fmt.Sprintf("kurrentdb://admin:changeit@127.0.0.1:%d?tlsCAFile=%s&maxDiscoverAttempts=1", servers[at].port, files[authority])
		return connect(t, text)
	}
	stream := fresh("go")
	_, err := to(0, 1).AppendToStream(soon(t), stream, db.AppendToStreamOptions{}, events("A")...)
	refused(t, err, db.ErrorUnavailable)
	if !strings.Contains(err.Error(), "certificate") {
		t.Fatalf("no word of the certificate: %v", err)
	}
	_, err = read(t, to(0, 0), stream, db.ReadStreamOptions{})
	refused(t, err, db.ErrorCodeResourceNotFound)
	appendTo(t, to(1, 1), stream, db.NoStream{}, "A")
}
