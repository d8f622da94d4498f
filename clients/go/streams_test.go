package clients

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	db "github.com/kurrent-io/KurrentDB-Client-Go/kurrentdb"
)

func TestStreamsExpectations(t *testing.T) {
	client := plain(t, serve(t))
	stream := fresh("go")
	equal(t, appendTo(t, client, stream, db.NoStream{}, "A").NextExpectedVersion, 0)
	equal(t, appendTo(t, client, stream, db.Revision(0), "B").NextExpectedVersion, 1)
	equal(t, appendTo(t, client, stream, db.Any{}, "C").NextExpectedVersion, 2)
	done := appendTo(t, client, stream, db.StreamExists{}, "D")
	equal(t, done.NextExpectedVersion, 3)
	equal(t, done.CommitPosition, done.PreparePosition)
	for _, wrong := range []db.StreamState{db.NoStream{}, db.Revision(0), db.Revision(9)} {
		_, err := client.AppendToStream(soon(t), stream, db.AppendToStreamOptions{StreamState: wrong}, events("X")...)
		refused(t, err, db.ErrorCodeWrongExpectedVersion)
	}
	_, err := client.AppendToStream(soon(t), fresh("go"), db.AppendToStreamOptions{StreamState: db.StreamExists{}}, events("X")...)
	refused(t, err, db.ErrorCodeWrongExpectedVersion)
	_, err = client.AppendToStream(soon(t), stream, db.AppendToStreamOptions{StreamState: db.Revision(3)})
	must(t, err)
	found, err := read(t, client, stream, db.ReadStreamOptions{})
	must(t, err)
	equal(t, numbers(found), "0 1 2 3")
}

func TestStreamsRetries(t *testing.T) {
	client := plain(t, serve(t))
	for _, state := range []db.StreamState{db.NoStream{}, db.Any{}} {
		stream, same := fresh("go"), events("A", "B")
		first, err := client.AppendToStream(soon(t), stream, db.AppendToStreamOptions{StreamState: state}, same...)
		must(t, err)
		again, err := client.AppendToStream(soon(t), stream, db.AppendToStreamOptions{StreamState: state}, same...)
		must(t, err)
		equal(t, *again, *first)
		found, err := read(t, client, stream, db.ReadStreamOptions{})
		must(t, err)
		equal(t, numbers(found), "0 1")
	}
}

func TestStreamsReads(t *testing.T) {
	client := plain(t, serve(t))
	stream := fresh("go")
	appendTo(t, client, stream, db.NoStream{}, "A", "B", "C", "D")
	for _, each := range []struct {
		direction db.Direction
		from      db.StreamPosition
		wanted    string
	}{
		{db.Forwards, db.Start{}, "0 1 2 3"}, {db.Forwards, db.Revision(2), "2 3"}, {db.Forwards, db.End{}, ""}, {db.Forwards, db.Revision(9), ""},
		{db.Backwards, db.End{}, "3 2 1 0"}, {db.Backwards, db.Revision(2), "2 1 0"}, {db.Backwards, db.Start{}, "0"}, {db.Backwards, db.Revision(9), "3 2 1 0"},
	} {
		found, err := read(t, client, stream, db.ReadStreamOptions{Direction: each.direction, From: each.from})
		must(t, err)
		if numbers(found) != each.wanted {
			t.Errorf("%v from %v: %q, wanted %q", each.direction, each.from, numbers(found), each.wanted)
		}
	}
	found, err := read(t, client, stream, db.ReadStreamOptions{})
	must(t, err)
	first := found[0].Event
	equal(t, first.EventType, "A")
	equal(t, string(first.Data), `{"a":1}`)
	equal(t, string(first.UserMetadata), `{"m":1}`)
	equal(t, first.ContentType, "application/json")
	if age := time.Since(first.CreatedDate); age < -time.Minute || age > time.Minute {
		t.Fatalf("made at %v", first.CreatedDate)
	}
	_, err = read(t, client, fresh("go"), db.ReadStreamOptions{})
	refused(t, err, db.ErrorCodeResourceNotFound)

	whole, err := all(t, client, db.ReadAllOptions{})
	must(t, err)
	back, err := all(t, client, db.ReadAllOptions{Direction: db.Backwards, From: db.End{}})
	must(t, err)
	slices.Reverse(back)
	equal(t, len(whole), len(back))
	for at := range whole {
		equal(t, whole[at].Event.EventID, back[at].Event.EventID)
	}
	for _, edge := range []db.ReadAllOptions{{From: db.End{}}, {Direction: db.Backwards, From: db.Start{}}} {
		none, err := all(t, client, edge)
		must(t, err)
		equal(t, len(none), 0)
	}
	rest, err := all(t, client, db.ReadAllOptions{From: found[2].Event.Position})
	must(t, err)
	equal(t, rest[0].Event.EventID, found[2].Event.EventID)
}

func TestStreamsPagesBackwards(t *testing.T) {
	client := plain(t, serve(t))
	for range 5 {
		appendTo(t, client, fresh("go"), db.NoStream{}, "A", "B", "C", "D", "E")
	}
	ids := func(found []*db.ResolvedEvent) string {
		var words []string
		for _, each := range found {
			words = append(words, each.Event.EventID.String())
		}
		return strings.Join(words, " ")
	}
	whole, err := all(t, client, db.ReadAllOptions{Direction: db.Backwards, From: db.End{}})
	must(t, err)
	if len(whole) < 25 {
		t.Fatalf("only %d events", len(whole))
	}
	// A position backwards leaves its own event out.
	rest, err := all(t, client, db.ReadAllOptions{Direction: db.Backwards, From: whole[3].Event.Position})
	must(t, err)
	equal(t, ids(rest), ids(whole[4:]))
	for _, size := range []uint64{1, 4, 10} {
		var pages []*db.ResolvedEvent
		var from db.AllPosition = db.End{}
		for {
			page, err := drain(client.ReadAll(soon(t), db.ReadAllOptions{Direction: db.Backwards, From: from}, size))
			must(t, err)
			pages = append(pages, page...)
			if uint64(len(page)) < size {
				break
			}
			from = page[len(page)-1].Event.Position
		}
		equal(t, ids(pages), ids(whole))
	}
}

func TestStreamsDeletion(t *testing.T) {
	client := plain(t, serve(t))
	stream := fresh("go")
	// This client has no code for a conflict of a deletion, and shows the server's words.
	conflict := func(err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "Delete failed due to WrongExpectedVersion. Stream: "+stream) {
			t.Fatalf("no conflict: %v", err)
		}
	}
	_, err := client.DeleteStream(soon(t), stream, db.DeleteStreamOptions{})
	conflict(err)
	appendTo(t, client, stream, db.NoStream{}, "A", "B")
	_, err = client.DeleteStream(soon(t), stream, db.DeleteStreamOptions{StreamState: db.Revision(7)})
	conflict(err)
	_, err = client.DeleteStream(soon(t), stream, db.DeleteStreamOptions{StreamState: db.Revision(1)})
	must(t, err)
	_, err = read(t, client, stream, db.ReadStreamOptions{})
	refused(t, err, db.ErrorCodeResourceNotFound)
	_, err = client.AppendToStream(soon(t), stream, db.AppendToStreamOptions{StreamState: db.StreamExists{}}, events("X")...)
	refused(t, err, db.ErrorCodeStreamDeleted)
	equal(t, appendTo(t, client, stream, db.NoStream{}, "C").NextExpectedVersion, 2)
	_, err = client.TombstoneStream(soon(t), stream, db.TombstoneStreamOptions{StreamState: db.Revision(2)})
	must(t, err)
	for _, state := range []db.StreamState{db.Any{}, db.NoStream{}, db.StreamExists{}, db.Revision(2)} {
		_, err = client.AppendToStream(soon(t), stream, db.AppendToStreamOptions{StreamState: state}, events("X")...)
		refused(t, err, db.ErrorCodeStreamDeleted)
	}
	_, err = read(t, client, stream, db.ReadStreamOptions{})
	refused(t, err, db.ErrorCodeStreamDeleted)
	_, err = client.DeleteStream(soon(t), stream, db.DeleteStreamOptions{})
	refused(t, err, db.ErrorCodeStreamDeleted)
}

func TestStreamsMetadata(t *testing.T) {
	client := plain(t, serve(t))
	stream := fresh("go")
	appendTo(t, client, stream, db.NoStream{}, "A", "B", "C")
	var set db.StreamMetadata
	set.SetMaxCount(2)
	set.SetMaxAge(time.Hour)
	set.SetCacheControl(time.Minute)
	var acl db.Acl
	acl.AddReadRoles("$all")
	// This client cannot read a list of several roles, which it writes.
	acl.AddWriteRoles("a")
	set.SetAcl(acl)
	set.AddCustomProperty("mine", "x")
	_, err := client.SetStreamMetadata(soon(t), stream, db.AppendToStreamOptions{StreamState: db.NoStream{}}, set)
	must(t, err)
	got, err := client.GetStreamMetadata(soon(t), stream, db.ReadStreamOptions{Direction: db.Backwards, From: db.End{}})
	must(t, err)
	equal(t, *got.MaxCount(), 2)
	equal(t, *got.MaxAge(), time.Hour)
	equal(t, got.CustomProperty("mine"), any("x"))
	equal(t, fmt.Sprint(got.StreamAcl().WriteRoles()), "[a]")
	found, err := read(t, client, stream, db.ReadStreamOptions{})
	must(t, err)
	equal(t, numbers(found), "1 2")

	truncated := db.EventData{EventID: uuid.New(), EventType: "$metadata", ContentType: db.ContentTypeJson, Data: []byte(`{"$tb":9223372036854775807}`)}
	_, err = client.AppendToStream(soon(t), "$$"+stream, db.AppendToStreamOptions{}, truncated)
	must(t, err)
	_, err = read(t, client, stream, db.ReadStreamOptions{})
	refused(t, err, db.ErrorCodeResourceNotFound)
	equal(t, appendTo(t, client, stream, db.NoStream{}, "D").NextExpectedVersion, 3)
}

func TestStreamsMany(t *testing.T) {
	client := plain(t, serve(t))
	one, two, three := fresh("go"), fresh("go"), fresh("go")
	made := func(types ...string) []db.EventData {
		list := events(types...)
		for at := range list {
			list[at].Metadata = []byte(`{"m":"1"}`)
		}
		return list
	}
	requests := []db.AppendStreamRequest{
		{StreamName: one, Events: slices.Values(made("A", "B")), ExpectedStreamState: db.NoStream{}},
		{StreamName: two, Events: slices.Values(made("C")), ExpectedStreamState: db.Any{}},
	}
	done, err := client.MultiStreamAppend(soon(t), slices.Values(requests))
	must(t, err)
	equal(t, fmt.Sprint(done.Responses), fmt.Sprintf("[{%s 1} {%s 0}]", one, two))
	requests = []db.AppendStreamRequest{
		{StreamName: three, Events: slices.Values(made("A")), ExpectedStreamState: db.NoStream{}},
		{StreamName: two, Events: slices.Values(made("C")), ExpectedStreamState: db.Revision(8)},
	}
	_, err = client.MultiStreamAppend(soon(t), slices.Values(requests))
	refused(t, err, db.ErrorCodeStreamRevisionConflict)
	_, err = read(t, client, three, db.ReadStreamOptions{})
	refused(t, err, db.ErrorCodeResourceNotFound)
	for _, each := range []struct {
		stream           string
		expected, actual db.StreamState
	}{
		{one, db.NoStream{}, db.Revision(1)}, {one, db.Revision(0), db.Revision(1)}, {one, db.Revision(7), db.Revision(1)},
		{three, db.StreamExists{}, db.NoStream{}}, {three, db.Revision(0), db.NoStream{}},
	} {
		requests = []db.AppendStreamRequest{
			{StreamName: two, Events: slices.Values(made("X")), ExpectedStreamState: db.Any{}},
			{StreamName: each.stream, Events: slices.Values(made("X")), ExpectedStreamState: each.expected},
		}
		_, err = client.MultiStreamAppend(soon(t), slices.Values(requests))
		refused(t, err, db.ErrorCodeStreamRevisionConflict)
		var conflict *db.StreamRevisionConflictError
		if !errors.As(err, &conflict) {
			t.Fatalf("no details of the conflict: %v", err)
		}
		equal(t, fmt.Sprintf("%s %v %v", conflict.Stream, conflict.ExpectedRevision, conflict.ActualRevision), fmt.Sprintf("%s %v %v", each.stream, each.expected, each.actual))
	}
	left, err := read(t, client, two, db.ReadStreamOptions{})
	must(t, err)
	equal(t, numbers(left), "0")

	record := db.AppendRecord{Stream: three, Record: made("A")[0]}
	_, err = client.AppendRecords(soon(t), []db.AppendRecord{record}, db.StreamStateCheck{Stream: one, ExpectedState: db.Revision(0)})
	refused(t, err, db.ErrorCodeAppendConsistencyViolation)
	_, err = client.AppendRecords(soon(t), []db.AppendRecord{record}, db.StreamStateCheck{Stream: one, ExpectedState: db.Revision(1)})
	must(t, err)
	_, err = client.TombstoneStream(soon(t), one, db.TombstoneStreamOptions{})
	must(t, err)
	requests = []db.AppendStreamRequest{{StreamName: one, Events: slices.Values(made("A")), ExpectedStreamState: db.Any{}}}
	_, err = client.MultiStreamAppend(soon(t), slices.Values(requests))
	refused(t, err, db.ErrorCodeStreamTombstoned)
	large := made("L")
	large[0].Data = []byte(`"` + string(make([]byte, 5<<20)) + `"`)
	requests = []db.AppendStreamRequest{{StreamName: two, Events: slices.Values(large), ExpectedStreamState: db.Any{}}}
	_, err = client.MultiStreamAppend(soon(t), slices.Values(requests))
	refused(t, err, db.ErrorCodeAppendRecordSizeExceeded)
	much := made("L", "L", "L")
	for at := range much {
		much[at].Data = []byte(`"` + strings.Repeat("x", 3<<20) + `"`)
	}
	requests = []db.AppendStreamRequest{{StreamName: two, Events: slices.Values(much), ExpectedStreamState: db.Any{}}}
	_, err = client.MultiStreamAppend(soon(t), slices.Values(requests))
	refused(t, err, db.ErrorCodeAppendTransactionSizeExceeded)
}

func TestStreamsWithoutAType(t *testing.T) {
	client := plain(t, serve(t))
	stream := fresh("go")
	// This client has no code for it, and shows the server's words.
	_, err := client.AppendToStream(soon(t), stream, db.AppendToStreamOptions{}, events("")...)
	if err == nil || !strings.Contains(err.Error(), "Required Metadata Property 'type' is missing") {
		t.Fatalf("no word of the type: %v", err)
	}
	_, err = read(t, client, stream, db.ReadStreamOptions{})
	refused(t, err, db.ErrorCodeResourceNotFound)
}

func TestLinks(t *testing.T) {
	client := plain(t, serve(t))
	category := "golinks" + uuid.NewString()[:8]
	one, two := fresh(category), fresh(category)
	appendTo(t, client, one, db.NoStream{}, "A"+category)
	appendTo(t, client, two, db.NoStream{}, "B")
	for stream, wanted := range map[string]string{"$ce-" + category: "0 1", "$et-A" + category: "0"} {
		found, err := read(t, client, stream, db.ReadStreamOptions{ResolveLinkTos: true})
		must(t, err)
		equal(t, numbers(found), wanted)
		equal(t, found[0].Event.StreamID, one)
		equal(t, found[0].Link.StreamID, stream)
		plain, err := read(t, client, stream, db.ReadStreamOptions{})
		must(t, err)
		equal(t, string(plain[0].Event.Data), "0@"+one)
	}
	subscription, err := client.SubscribeToStream(soon(t), "$ce-"+category, db.SubscribeToStreamOptions{From: db.Start{}, ResolveLinkTos: true})
	must(t, err)
	defer subscription.Close()
	next(t, subscription, 2)
	appendTo(t, client, two, db.Any{}, "C")
	equal(t, next(t, subscription, 1)[0].Event.EventType, "C")
}

func TestStreamsNames(t *testing.T) {
	client := plain(t, serve(t))
	for _, stream := range []string{fresh("with blanks"), fresh("größe-高"), fresh("a/b?c%20d#e"), "a@" + fresh("go"), fresh("quote\"'\\"), strings.Repeat("ü", 100)} {
		appendTo(t, client, stream, db.NoStream{}, "A")
		found, err := read(t, client, stream, db.ReadStreamOptions{})
		must(t, err)
		equal(t, found[0].Event.StreamID, stream)
		subscription, err := client.SubscribeToStream(soon(t), stream, db.SubscribeToStreamOptions{From: db.Start{}})
		must(t, err)
		equal(t, next(t, subscription, 1)[0].Event.StreamID, stream)
		must(t, subscription.Close())
		must(t, client.CreatePersistentSubscription(soon(t), stream, stream, fromStart(nil)))
		info, err := client.GetPersistentSubscriptionInfo(soon(t), stream, stream, db.GetPersistentSubscriptionOptions{})
		must(t, err)
		equal(t, info.EventSource+info.GroupName, stream+stream)
		set(t, client, stream, func(metadata *db.StreamMetadata) { metadata.SetMaxCount(7) })
		equal(t, *metadata(t, client, stream).MaxCount(), 7)
		_, err = client.AppendToStream(soon(t), stream, db.AppendToStreamOptions{StreamState: db.NoStream{}}, events("X")...)
		refused(t, err, db.ErrorCodeWrongExpectedVersion)
		_, err = client.TombstoneStream(soon(t), stream, db.TombstoneStreamOptions{})
		must(t, err)
		_, err = read(t, client, stream, db.ReadStreamOptions{})
		refused(t, err, db.ErrorCodeStreamDeleted)
	}
	_, err := client.AppendToStream(soon(t), "", db.AppendToStreamOptions{}, events("X")...)
	refused(t, err, db.ErrorCodeUnknown)
	appendTo(t, client, fresh("go"), db.NoStream{}, "A")
}

func TestStreamsRetriesLater(t *testing.T) {
	client := plain(t, serve(t))
	stream, same := fresh("go"), events("A", "B", "C")
	try := func(stream string, state db.StreamState, events ...db.EventData) (*db.WriteResult, error) {
		return client.AppendToStream(soon(t), stream, db.AppendToStreamOptions{StreamState: state}, events...)
	}
	first, err := try(stream, db.NoStream{}, same...)
	must(t, err)
	appendTo(t, client, stream, db.Revision(2), "D")
	again, err := try(stream, db.NoStream{}, same...)
	must(t, err)
	equal(t, *again, *first)
	// A part of them is there already; with others behind, before or beside them it is a conflict.
	part, err := try(stream, db.NoStream{}, same[:2]...)
	must(t, err)
	equal(t, part.NextExpectedVersion, 1)
	middle, err := try(stream, db.Revision(0), same[1:]...)
	must(t, err)
	equal(t, middle.NextExpectedVersion, 2)
	other := events("X")[0]
	for _, wrong := range [][]db.EventData{{same[0], same[1], same[2], other}, {other, same[0]}, {same[1]}, {same[0], other}} {
		_, err = try(stream, db.NoStream{}, wrong...)
		refused(t, err, db.ErrorCodeWrongExpectedVersion)
	}
	_, err = try(fresh("go"), db.NoStream{}, same...)
	must(t, err)
	found, err := read(t, client, stream, db.ReadStreamOptions{})
	must(t, err)
	equal(t, numbers(found), "0 1 2 3")
}

func TestStreamsNothingAppended(t *testing.T) {
	client := plain(t, serve(t))
	there, missing := fresh("go"), fresh("go")
	appendTo(t, client, there, db.NoStream{}, "A")
	equal(t, appendTo(t, client, there, db.Revision(0)).NextExpectedVersion, 0)
	appendTo(t, client, missing, db.NoStream{})
	for stream, wrong := range map[string]db.StreamState{there: db.NoStream{}, missing: db.Revision(0)} {
		_, err := client.AppendToStream(soon(t), stream, db.AppendToStreamOptions{StreamState: wrong})
		refused(t, err, db.ErrorCodeWrongExpectedVersion)
	}
	_, err := read(t, client, missing, db.ReadStreamOptions{})
	refused(t, err, db.ErrorCodeResourceNotFound)
}

func TestStreamsLarge(t *testing.T) {
	client := plain(t, serve(t))
	stream := fresh("go")
	sized := func(size int) db.EventData {
		return db.EventData{EventID: uuid.New(), EventType: "L", ContentType: db.ContentTypeBinary, Data: make([]byte, size)}
	}
	appended(t, client, stream, sized(7<<19), sized(7<<19), sized(0))
	found, err := read(t, client, stream, db.ReadStreamOptions{})
	must(t, err)
	equal(t, fmt.Sprintln(len(found[1].Event.Data), len(found[2].Event.Data), found[2].Event.ContentType), fmt.Sprintln(7<<19, 0, "application/octet-stream"))
	// This client has no code for it, and shows the server's words.
	for words, wrong := range map[string][]db.EventData{
		"exceeds Maximum Append Event Size of": {sized(9 << 19)}, "Maximum Append Size of": {sized(7 << 19), sized(7 << 19), sized(7 << 19)},
	} {
		_, err = client.AppendToStream(soon(t), stream, db.AppendToStreamOptions{}, wrong...)
		refused(t, err, db.ErrorCodeUnknown)
		if !strings.Contains(err.Error(), "code = InvalidArgument") || !strings.Contains(err.Error(), words) {
			t.Fatalf("no word of the size: %v", err)
		}
	}
	equal(t, appendTo(t, client, stream, db.Revision(2), "A").NextExpectedVersion, 3)
}

func TestStreamsAtOnce(t *testing.T) {
	client := plain(t, serve(t))
	one, many := fresh("go"), fresh("go")
	errs := make(chan error, 40)
	for at := range 40 {
		go func() {
			if at%2 == 0 {
				_, err := client.AppendToStream(soon(t), one, db.AppendToStreamOptions{StreamState: db.NoStream{}}, events("A")...)
				errs <- err
				return
			}
			_, err := client.AppendToStream(soon(t), many, db.AppendToStreamOptions{StreamState: db.Any{}}, events("A", "B")...)
			errs <- err
		}()
	}
	lost := 0
	for range 40 {
		if err := <-errs; err != nil {
			refused(t, err, db.ErrorCodeWrongExpectedVersion)
			lost++
		}
	}
	equal(t, lost, 19)
	found, err := read(t, client, many, db.ReadStreamOptions{})
	must(t, err)
	equal(t, len(found), 40)
	for at, each := range found {
		equal(t, each.Event.EventType, []string{"A", "B"}[at%2])
	}
}

func TestStreamsReadsLimited(t *testing.T) {
	client := plain(t, serve(t))
	stream := fresh("go")
	appendTo(t, client, stream, db.NoStream{}, slices.Repeat([]string{"A"}, 70)...)
	for _, each := range []struct {
		options db.ReadStreamOptions
		count   uint64
		wanted  string
	}{
		{db.ReadStreamOptions{From: db.Revision(1)}, 2, "1 2"}, {db.ReadStreamOptions{Direction: db.Backwards, From: db.End{}}, 1, "69"},
		{db.ReadStreamOptions{Direction: db.Backwards, From: db.Revision(2)}, 2, "2 1"}, {db.ReadStreamOptions{From: db.Revision(68)}, 9, "68 69"},
	} {
		found, err := drain(client.ReadStream(soon(t), stream, each.options, each.count))
		must(t, err)
		equal(t, numbers(found), each.wanted)
	}
	// A reader that goes away upsets nothing.
	for range 3 {
		reading, err := client.ReadStream(soon(t), stream, db.ReadStreamOptions{}, 70)
		must(t, err)
		_, err = reading.Recv()
		must(t, err)
		reading.Close()
	}
	found, err := read(t, client, stream, db.ReadStreamOptions{})
	must(t, err)
	equal(t, len(found), 70)
	for _, direction := range []db.ReadStreamOptions{{}, {Direction: db.Backwards, From: db.End{}}} {
		_, err = read(t, client, fresh("go"), direction)
		refused(t, err, db.ErrorCodeResourceNotFound)
	}
}

func TestStreamsDeletionAgain(t *testing.T) {
	client := plain(t, serve(t))
	deletion := func(stream string, state db.StreamState) error {
		_, err := client.DeleteStream(soon(t), stream, db.DeleteStreamOptions{StreamState: state})
		return err
	}
	tombstone := func(stream string, state db.StreamState) error {
		_, err := client.TombstoneStream(soon(t), stream, db.TombstoneStreamOptions{StreamState: state})
		return err
	}
	// This client has no code for a conflict of a deletion, and shows the server's words.
	conflict := func(err error, what, stream string, expected, actual int) {
		t.Helper()
		words := fmt.Sprintf("%s failed due to WrongExpectedVersion. Stream: %s, Expected version: %d, Actual version: %d", what, stream, expected, actual)
		if err == nil || !strings.Contains(err.Error(), words) {
			t.Fatalf("wanted %q: %v", words, err)
		}
	}
	stream := fresh("go")
	conflict(deletion(stream, db.Any{}), "Delete", stream, -2, -1)
	conflict(deletion(stream, db.StreamExists{}), "Delete", stream, -4, -1)
	conflict(tombstone(stream, db.StreamExists{}), "Tombstone", stream, -4, -1)
	conflict(tombstone(stream, db.Revision(0)), "Tombstone", stream, 0, -1)
	appendTo(t, client, stream, db.NoStream{}, "A", "B")
	conflict(deletion(stream, db.Revision(7)), "Delete", stream, 7, 1)
	conflict(tombstone(stream, db.Revision(7)), "Tombstone", stream, 7, 1)
	conflict(tombstone(stream, db.NoStream{}), "Tombstone", stream, -1, 1)
	must(t, deletion(stream, db.StreamExists{}))
	must(t, deletion(stream, db.Any{}))
	// The revision that was the last is still right, and numbers go on.
	equal(t, appendTo(t, client, stream, db.Revision(1), "C").NextExpectedVersion, 2)
	must(t, deletion(stream, db.Revision(2)))
	must(t, tombstone(stream, db.Any{}))
	refused(t, tombstone(stream, db.Any{}), db.ErrorCodeStreamDeleted)
	refused(t, deletion(stream, db.Any{}), db.ErrorCodeStreamDeleted)
	_, err := read(t, client, stream, db.ReadStreamOptions{Direction: db.Backwards, From: db.End{}})
	refused(t, err, db.ErrorCodeStreamDeleted)
	last, err := drain(client.ReadAll(soon(t), db.ReadAllOptions{Direction: db.Backwards, From: db.End{}}, 1))
	must(t, err)
	equal(t, last[0].Event.EventType+last[0].Event.StreamID, "$streamDeleted"+stream)
	for _, state := range []db.StreamState{db.Any{}, db.NoStream{}} {
		never := fresh("go")
		must(t, tombstone(never, state))
		_, err = client.AppendToStream(soon(t), never, db.AppendToStreamOptions{}, events("X")...)
		refused(t, err, db.ErrorCodeStreamDeleted)
	}
}
