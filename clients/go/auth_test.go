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
	refused(t, tried(t, nobody, stream, db.AppendToStreamOptions{}), db.ErrorCodeUnauthenticated)
	wrong := secure(t, server, "admin:wrong@")
	refused(t, tried(t, wrong, stream, db.AppendToStreamOptions{}), db.ErrorCodeUnauthenticated)
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
	refused(t, tried(t, ops, stream, db.AppendToStreamOptions{}), db.ErrorCodeAccessDenied)
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

var (
	asOps   = &db.Credentials{Login: "ops", Password: "changeit"}
	asAnna  = &db.Credentials{Login: "anna", Password: "changeit"}
	asWrong = &db.Credentials{Login: "admin", Password: "wrong"}
)

// guarded gives a server with users: the client of an administrator, and that of nobody in particular.
func guarded(t *testing.T, arguments ...string) (server *server, admin, nobody *db.Client) {
	t.Helper()
	server = serve(t, append([]string{"--dev", "--write-ca", filepath.Join(os.Getenv("FACTUM_DIRECTORY"), "go-ca.pem")}, arguments...)...)
	return server, secure(t, server, "admin:changeit@"), secure(t, server, "")
}

// anna makes a user who is in no group. This client has no calls for users: she is made of what is stored of ops, with the same password.
func anna(t *testing.T, admin *db.Client) {
	t.Helper()
	found, err := read(t, admin, "$user-ops", db.ReadStreamOptions{})
	must(t, err)
	text := strings.Replace(string(found[0].Event.Data), `"loginName":"ops"`, `"loginName":"anna"`, 1)
	made := events("$UserCreated")
	made[0].Data = []byte(strings.Replace(text, `"$ops"`, "", 1))
	appended(t, admin, "$user-anna", made...)
}

// judged says what each caller is told of a call: nobody in particular, a user, a member of $ops and an administrator.
func judged(t *testing.T, what string, wanted [4]db.ErrorCode, call func(*db.Client, *db.Credentials) error, admin, nobody *db.Client) {
	t.Helper()
	for at, each := range []struct {
		client *db.Client
		as     *db.Credentials
	}{{nobody, nil}, {nobody, asAnna}, {nobody, asOps}, {admin, nil}} {
		t.Run(fmt.Sprint(what, "/", []string{"nobody", "anna", "ops", "admin"}[at]), func(t *testing.T) {
			if err := asked(func() error { return call(each.client, each.as) }); wanted[at] == allowed {
				must(t, err)
			} else {
				refused(t, err, wanted[at])
			}
		})
	}
}

const (
	allowed db.ErrorCode = -1
	unknown              = db.ErrorCodeUnauthenticated
	denied               = db.ErrorCodeAccessDenied
)

func TestAuthGroups(t *testing.T) {
	_, admin, nobody := guarded(t)
	anna(t, admin)
	settings := db.SubscriptionSettingsDefault()
	create := func(stream string) func(*db.Client, *db.Credentials) error {
		return func(client *db.Client, as *db.Credentials) error {
			options := db.PersistentStreamSubscriptionOptions{Settings: &settings, StartFrom: db.Start{}, Authenticated: as}
			return client.CreatePersistentSubscription(soon(t), stream, fresh("group"), options)
		}
	}
	operators, users, admins := [4]db.ErrorCode{unknown, denied, allowed, allowed}, [4]db.ErrorCode{unknown, allowed, allowed, allowed}, [4]db.ErrorCode{unknown, denied, denied, allowed}
	stream, listed := fresh("go"), fresh("go")
	for _, each := range []string{stream, listed} {
		appendTo(t, admin, each, db.NoStream{}, "A")
		must(t, admin.CreatePersistentSubscription(soon(t), each, "group", fromStart(nil)))
	}
	var acl db.Acl
	acl.AddReadRoles("$ops")
	set(t, admin, listed, func(metadata *db.StreamMetadata) { metadata.SetAcl(acl) })
	must(t, admin.CreatePersistentSubscription(soon(t), "$mine", "group", fromStart(nil)))
	must(t, admin.CreatePersistentSubscriptionToAll(soon(t), "group", db.PersistentAllSubscriptionOptions{Settings: &settings}))
	consume := func(stream string) func(*db.Client, *db.Credentials) error {
		return func(client *db.Client, as *db.Credentials) error {
			options := db.SubscribeToPersistentSubscriptionOptions{Authenticated: as}
			subscription, err := client.SubscribeToPersistentSubscription(soon(t), stream, "group", options)
			if err != nil {
				return err
			}
			return subscription.Close()
		}
	}
	for _, row := range []struct {
		what   string
		wanted [4]db.ErrorCode
		call   func(*db.Client, *db.Credentials) error
	}{
		{"create", operators, create(stream)},
		{"create over a list", operators, create(listed)},
		{"create of all", operators, func(client *db.Client, as *db.Credentials) error {
			return client.CreatePersistentSubscriptionToAll(soon(t), fresh("group"), db.PersistentAllSubscriptionOptions{Settings: &settings, Authenticated: as})
		}},
		{"update", operators, func(client *db.Client, as *db.Credentials) error {
			return client.UpdatePersistentSubscription(soon(t), stream, "group", db.PersistentStreamSubscriptionOptions{Settings: &settings, Authenticated: as})
		}},
		{"consume", users, consume(stream)},
		{"consume over a list", operators, consume(listed)},
		{"consume of the system", admins, consume("$mine")},
		{"consume of all", admins, func(client *db.Client, as *db.Credentials) error {
			subscription, err := client.SubscribeToPersistentSubscriptionToAll(soon(t), "group", db.SubscribeToPersistentSubscriptionOptions{Authenticated: as})
			if err != nil {
				return err
			}
			return subscription.Close()
		}},
		{"info", users, func(client *db.Client, as *db.Credentials) error {
			_, err := client.GetPersistentSubscriptionInfo(soon(t), stream, "group", db.GetPersistentSubscriptionOptions{Authenticated: as})
			return err
		}},
		{"list", users, func(client *db.Client, as *db.Credentials) error {
			_, err := client.ListAllPersistentSubscriptions(soon(t), db.ListPersistentSubscriptionsOptions{Authenticated: as})
			return err
		}},
		{"replay", operators, func(client *db.Client, as *db.Credentials) error {
			return client.ReplayParkedMessages(soon(t), stream, "group", db.ReplayParkedMessagesOptions{Authenticated: as})
		}},
		{"restart", operators, func(client *db.Client, as *db.Credentials) error {
			return client.RestartPersistentSubscriptionSubsystem(soon(t), db.RestartPersistentSubscriptionSubsystemOptions{Authenticated: as})
		}},
	} {
		judged(t, row.what, row.wanted, row.call, admin, nobody)
	}
	remove := func(client *db.Client, as *db.Credentials) error {
		return client.DeletePersistentSubscription(soon(t), stream, "group", db.DeletePersistentSubscriptionOptions{Authenticated: as})
	}
	refused(t, remove(nobody, nil), unknown)
	refused(t, remove(nobody, asAnna), denied)
	must(t, remove(nobody, asOps))
}

// calls are those that a list of a stream has a say in.
func calls(t *testing.T, stream string) map[string]func(*db.Client, *db.Credentials) error {
	return map[string]func(*db.Client, *db.Credentials) error{
		"read": func(client *db.Client, as *db.Credentials) error {
			_, err := read(t, client, stream, db.ReadStreamOptions{Authenticated: as})
			return err
		},
		"follow": func(client *db.Client, as *db.Credentials) error {
			subscription, err := client.SubscribeToStream(soon(t), stream, db.SubscribeToStreamOptions{Authenticated: as})
			if err != nil {
				return err
			}
			return subscription.Close()
		},
		"append": func(client *db.Client, as *db.Credentials) error {
			return tried(t, client, stream, db.AppendToStreamOptions{Authenticated: as})
		},
		"metadata": func(client *db.Client, as *db.Credentials) error {
			_, err := client.GetStreamMetadata(soon(t), stream, db.ReadStreamOptions{Authenticated: as})
			return err
		},
		"set metadata": func(client *db.Client, as *db.Credentials) error {
			return asked(func() error {
				_, err := client.SetStreamMetadata(soon(t), stream, db.AppendToStreamOptions{Authenticated: as}, db.StreamMetadata{})
				return err
			})
		},
		"delete": func(client *db.Client, as *db.Credentials) error {
			_, err := client.DeleteStream(soon(t), stream, db.DeleteStreamOptions{Authenticated: as})
			return err
		},
		"tombstone": func(client *db.Client, as *db.Credentials) error {
			_, err := client.TombstoneStream(soon(t), stream, db.TombstoneStreamOptions{Authenticated: as})
			return err
		},
	}
}

func TestAuthLists(t *testing.T) {
	_, admin, nobody := guarded(t)
	anna(t, admin)
	closed, open := fresh("go"), fresh("go")
	appendTo(t, admin, closed, db.NoStream{}, "A")
	appendTo(t, admin, open, db.NoStream{}, "A")
	var acl db.Acl
	acl.AddReadRoles("admin")
	acl.AddWriteRoles("admin")
	acl.AddDeleteRoles("admin")
	acl.AddMetaReadRoles("admin")
	acl.AddMetaWriteRoles("admin")
	set(t, admin, closed, func(metadata *db.StreamMetadata) { metadata.SetAcl(acl) })
	for what, call := range calls(t, closed) {
		for _, as := range []*db.Credentials{asAnna, asOps} {
			t.Run(fmt.Sprint(what, "/", as.Login), func(t *testing.T) { refused(t, call(nobody, as), denied) })
		}
	}
	for what, call := range calls(t, open) {
		t.Run(fmt.Sprint(what, "/nobody"), func(t *testing.T) { refused(t, call(nobody, nil), unknown) })
		t.Run(fmt.Sprint(what, "/wrong"), func(t *testing.T) { refused(t, call(admin, asWrong), unknown) })
	}
	found, err := read(t, admin, closed, db.ReadStreamOptions{})
	must(t, err)
	equal(t, numbers(found), "0")
	// Each right by a name, a group, or everybody.
	var lent db.Acl
	lent.AddReadRoles("$all")
	lent.AddWriteRoles("anna")
	lent.AddDeleteRoles("$ops")
	set(t, admin, open, func(metadata *db.StreamMetadata) { metadata.SetAcl(lent) })
	for what, wanted := range map[string][4]db.ErrorCode{
		"read": {unknown, allowed, allowed, allowed}, "append": {unknown, allowed, denied, allowed},
	} {
		judged(t, what, wanted, calls(t, open)[what], admin, nobody)
	}
	refused(t, calls(t, open)["delete"](nobody, asAnna), denied)
	must(t, calls(t, open)["delete"](nobody, asOps))
}

func TestAuthSystem(t *testing.T) {
	_, admin, nobody := guarded(t)
	anna(t, admin)
	appendTo(t, admin, "goauth-1", db.NoStream{}, "Happened")
	admins, users := [4]db.ErrorCode{unknown, denied, denied, allowed}, [4]db.ErrorCode{unknown, allowed, allowed, allowed}
	judged(t, "read $all", admins, func(client *db.Client, as *db.Credentials) error {
		_, err := drain(client.ReadAll(soon(t), db.ReadAllOptions{Authenticated: as}, 1))
		return err
	}, admin, nobody)
	judged(t, "follow $all", admins, func(client *db.Client, as *db.Credentials) error {
		subscription, err := client.SubscribeToAll(soon(t), db.SubscribeToAllOptions{Authenticated: as})
		if err != nil {
			return err
		}
		return subscription.Close()
	}, admin, nobody)
	judged(t, "append $mine", admins, calls(t, "$mine")["append"], admin, nobody)
	for _, stream := range []string{"$mine", "$users", "$user-admin", "$et-$UserCreated"} {
		judged(t, "read "+stream, admins, calls(t, stream)["read"], admin, nobody)
	}
	for _, stream := range []string{"$ce-goauth", "$et-Happened", "$streams"} {
		judged(t, "read "+stream, users, calls(t, stream)["read"], admin, nobody)
	}
	// A link is shown, and what it points to only to those who may read that.
	var acl db.Acl
	acl.AddReadRoles("$ops")
	set(t, admin, "goauth-1", func(metadata *db.StreamMetadata) { metadata.SetAcl(acl) })
	for _, as := range []*db.Credentials{asAnna, asOps} {
		found, err := read(t, nobody, "$ce-goauth", db.ReadStreamOptions{ResolveLinkTos: true, Authenticated: as})
		must(t, err)
		equal(t, found[0].Link.StreamID, "$ce-goauth")
		equal(t, found[0].Event != nil, as == asOps)
	}
	users_, err := read(t, admin, "$users", db.ReadStreamOptions{})
	must(t, err)
	equal(t, fmt.Sprint(users_[0].Event.EventType, " ", string(users_[0].Event.Data), string(users_[1].Event.Data)), "$User adminops")
}

func TestAuthSettings(t *testing.T) {
	_, admin, nobody := guarded(t)
	anna(t, admin)
	stream := fresh("go")
	appendTo(t, admin, stream, db.NoStream{}, "A")
	settings := events("update-default-acl")
	settings[0].Data = []byte(`{"$userStreamAcl":{"$r":"$ops","$w":["anna"]},"$systemStreamAcl":{"$r":"anna"}}`)
	appended(t, admin, "$settings", settings...)
	judged(t, "read", [4]db.ErrorCode{unknown, denied, allowed, allowed}, calls(t, stream)["read"], admin, nobody)
	judged(t, "append", [4]db.ErrorCode{unknown, allowed, denied, allowed}, calls(t, stream)["append"], admin, nobody)
	judged(t, "read $users", [4]db.ErrorCode{unknown, allowed, denied, allowed}, calls(t, "$users")["read"], admin, nobody)
	// A list of the stream's own goes before.
	var acl db.Acl
	acl.AddReadRoles("anna")
	set(t, admin, stream, func(metadata *db.StreamMetadata) { metadata.SetAcl(acl) })
	judged(t, "read with a list", [4]db.ErrorCode{unknown, allowed, denied, allowed}, calls(t, stream)["read"], admin, nobody)
}

func TestAuthConsumerIsNamed(t *testing.T) {
	server, admin, _ := guarded(t)
	stream := grouped(t, admin, nil, "A")
	ops := connect(t, fmt.Sprintf("kurrentdb://ops:changeit@127.0.0.1:%d?connectionName=here&tlsCAFile=%s", server.port, filepath.Join(server.directory, "..", "go-ca.pem")))
	equal(t, open(t, ops, stream, 7).types(t, 1), "A")
	info := told(t, admin, stream, func(info *db.PersistentSubscriptionInfo) bool { return info.Stats.TotalInFlightMessages == 0 })
	equal(t, fmt.Sprint(len(info.Connections), info.Connections[0].AvailableSlots), "1 7")
	equal(t, info.Connections[0].Username, "ops")
}

func TestAuthMulti(t *testing.T) {
	server, admin, nobody := guarded(t)
	ops := secure(t, server, "ops:changeit@")
	open, closed := fresh("go"), fresh("go")
	var acl db.Acl
	acl.AddReadRoles("admin")
	acl.AddWriteRoles("admin")
	set(t, admin, closed, func(metadata *db.StreamMetadata) { metadata.SetAcl(acl) })
	for _, each := range []struct {
		client *db.Client
		code   db.ErrorCode
	}{{nobody, unknown}, {ops, denied}, {secure(t, server, "admin:wrong@"), unknown}} {
		_, err := toMany(t, each.client, to(open, db.Any{}, worded("X")...), to(closed, db.Any{}, worded("X")...))
		refused(t, err, each.code)
		_, err = each.client.AppendRecords(soon(t), []db.AppendRecord{record(open, "X"), record(closed, "X")})
		refused(t, err, each.code)
		// What one may not read one may not ask about.
		_, err = each.client.AppendRecords(soon(t), []db.AppendRecord{record(open, "X")}, check(closed, db.NoStream{}))
		refused(t, err, each.code)
	}
	missing(t, admin, open)
	missing(t, admin, closed)
	_, err := toMany(t, ops, to(open, db.NoStream{}, worded("A")...))
	must(t, err)
	_, err = toMany(t, admin, to(open, db.Revision(0), worded("B")...), to(closed, db.NoStream{}, worded("A")...))
	must(t, err)
}

func TestAuthAnonymous(t *testing.T) {
	_, admin, nobody := guarded(t, "--allow-anonymous")
	open, closed := fresh("go"), fresh("go")
	appendTo(t, nobody, open, db.NoStream{}, "A")
	_, err := read(t, nobody, open, db.ReadStreamOptions{})
	must(t, err)
	var acl db.Acl
	acl.AddReadRoles("ops")
	acl.AddWriteRoles("ops")
	set(t, admin, closed, func(metadata *db.StreamMetadata) { metadata.SetAcl(acl) })
	for _, what := range []string{"append", "read"} {
		refused(t, calls(t, closed)[what](nobody, nil), unknown)
	}
	_, err = all(t, nobody, db.ReadAllOptions{})
	refused(t, err, unknown)
	refused(t, nobody.CreatePersistentSubscription(soon(t), open, "group", fromStart(nil)), unknown)
}

func TestAuthRestart(t *testing.T) {
	server, admin, nobody := guarded(t)
	anna(t, admin)
	stream := fresh("go")
	appendTo(t, admin, stream, db.NoStream{}, "A")
	var acl db.Acl
	acl.AddReadRoles("anna")
	set(t, admin, stream, func(metadata *db.StreamMetadata) { metadata.SetAcl(acl) })
	subscription, err := nobody.SubscribeToStream(soon(t), stream, db.SubscribeToStreamOptions{From: db.Start{}, Authenticated: asAnna})
	must(t, err)
	equal(t, numbers(next(t, subscription, 1)), "0")
	equal(t, server.end("KILL"), 137)
	for event := subscription.Recv(); event.SubscriptionDropped == nil; event = subscription.Recv() {
	}
	server.start(t)
	// The server makes a new certificate each time it starts, and writes its authority anew.
	later := secure(t, server, "")
	must(t, calls(t, stream)["read"](later, asAnna))
	refused(t, calls(t, stream)["read"](later, asOps), denied)
	refused(t, calls(t, stream)["read"](later, nil), unknown)
}

func TestAuthCareless(t *testing.T) {
	server, _, _ := guarded(t)
	end := fmt.Sprintf("kurrentdb://admin:changeit@127.0.0.1:%d?maxDiscoverAttempts=1&", server.port)
	careless := connect(t, end+"tlsVerifyCert=false")
	appendTo(t, careless, fresh("go"), db.NoStream{}, "A")
	// Without the authority, and without TLS.
	for _, options := range []string{"tls=true", "tls=false"} {
		_, err := connect(t, strings.Replace(end, "admin:changeit@", "", 1)+options).AppendToStream(soon(t), fresh("go"), db.AppendToStreamOptions{}, events("A")...)
		refused(t, err, db.ErrorUnavailable)
	}
}
