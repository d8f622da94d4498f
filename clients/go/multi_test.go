package clients

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	db "github.com/kurrent-io/KurrentDB-Client-Go/kurrentdb"
)

// worded gives events whose metadata has words only; this client takes no other for an append to many streams.
func worded(types ...string) []db.EventData {
	made := events(types...)
	for at := range made {
		made[at].Metadata = []byte(`{"m":"1"}`)
	}
	return made
}

func to(stream string, state db.StreamState, events ...db.EventData) db.AppendStreamRequest {
	return db.AppendStreamRequest{StreamName: stream, Events: slices.Values(events), ExpectedStreamState: state}
}

func toMany(t *testing.T, client *db.Client, requests ...db.AppendStreamRequest) (done *db.MultiStreamAppendResponse, err error) {
	err = asked(func() error {
		done, err = client.MultiStreamAppend(soon(t), slices.Values(requests))
		return err
	})
	return done, err
}

func missing(t *testing.T, client *db.Client, stream string) {
	t.Helper()
	_, err := read(t, client, stream, db.ReadStreamOptions{})
	refused(t, err, db.ErrorCodeResourceNotFound)
}

func detail[E error](t *testing.T, err error) E {
	t.Helper()
	var found E
	if !errors.As(err, &found) {
		t.Fatalf("no details: %v", err)
	}
	return found
}

func TestMultiComesBack(t *testing.T) {
	client := plain(t, serve(t))
	one, two := fresh("go"), fresh("go")
	made := worded("A", "B")
	made[1].ContentType, made[1].Data = db.ContentTypeBinary, []byte{0, 255}
	done, err := toMany(t, client, to(one, db.NoStream{}, made...), to(two, db.NoStream{}, worded("C")...))
	must(t, err)
	found, err := read(t, client, one, db.ReadStreamOptions{})
	must(t, err)
	for at, each := range found {
		equal(t, fmt.Sprint(each.Event.EventID, each.Event.EventType, each.Event.Data), fmt.Sprint(made[at].EventID, made[at].EventType, made[at].Data))
		for _, word := range []string{`"m":"1"`, `"$schema.name":"` + made[at].EventType + `"`, `"$schema.format":`} {
			if !strings.Contains(strings.ReplaceAll(string(each.Event.UserMetadata), ": ", ":"), word) {
				t.Fatalf("no %s in %s", word, each.Event.UserMetadata)
			}
		}
	}
	equal(t, fmt.Sprint(found[0].Event.ContentType, " ", found[1].Event.ContentType), "application/json application/octet-stream")
	last, err := drain(client.ReadAll(soon(t), db.ReadAllOptions{Direction: db.Backwards, From: db.End{}}, 1))
	must(t, err)
	equal(t, int64(last[0].Event.Position.Commit), done.Position)
	equal(t, last[0].Event.StreamID, two)
	exact, err := toMany(t, client, to(one, db.Revision(1), worded("D")...), to(two, db.StreamExists{}, worded("E")...))
	must(t, err)
	equal(t, fmt.Sprint(exact.Responses), fmt.Sprintf("[{%s 2} {%s 1}]", one, two))
}

func TestMultiRetries(t *testing.T) {
	client := plain(t, serve(t))
	one, two, a, b := fresh("go"), fresh("go"), worded("A"), worded("B")
	first, err := toMany(t, client, to(one, db.NoStream{}, a...), to(two, db.NoStream{}, b...))
	must(t, err)
	again, err := toMany(t, client, to(one, db.NoStream{}, a...), to(two, db.NoStream{}, b...))
	must(t, err)
	equal(t, fmt.Sprint(*again), fmt.Sprint(*first))
	found, err := read(t, client, one, db.ReadStreamOptions{})
	must(t, err)
	equal(t, numbers(found), "0")
}

func TestMultiDeleted(t *testing.T) {
	client := plain(t, serve(t))
	deleted, buried, beside := fresh("go"), fresh("go"), fresh("go")
	for _, stream := range []string{deleted, buried} {
		appendTo(t, client, stream, db.NoStream{}, "A")
	}
	_, err := client.DeleteStream(soon(t), deleted, db.DeleteStreamOptions{})
	must(t, err)
	_, err = client.TombstoneStream(soon(t), buried, db.TombstoneStreamOptions{})
	must(t, err)
	for _, state := range []db.StreamState{db.Any{}, db.NoStream{}, db.StreamExists{}, db.Revision(0)} {
		_, err = toMany(t, client, to(beside, db.Any{}, worded("X")...), to(buried, state, worded("X")...))
		refused(t, err, db.ErrorCodeStreamTombstoned)
		equal(t, detail[*db.StreamTombstoneError](t, err).Stream, buried)
	}
	// A deleted stream does not exist; this client has no code for that.
	_, err = toMany(t, client, to(beside, db.Any{}, worded("X")...), to(deleted, db.StreamExists{}, worded("X")...))
	if err == nil || !strings.Contains(err.Error(), deleted) {
		t.Fatalf("no word of the deleted stream: %v", err)
	}
	missing(t, client, beside)
	done, err := toMany(t, client, to(deleted, db.NoStream{}, worded("B")...))
	must(t, err)
	equal(t, done.Responses[0].StreamRevision, 1)
	found, err := read(t, client, deleted, db.ReadStreamOptions{})
	must(t, err)
	equal(t, numbers(found), "1")
}

func TestMultiTooLarge(t *testing.T) {
	client := plain(t, serve(t))
	stream, beside := fresh("go"), fresh("go")
	sized := func(size int) db.EventData {
		made := worded("L")[0]
		made.Data = []byte(`"` + strings.Repeat("x", size) + `"`)
		return made
	}
	large := sized(5 << 20)
	_, err := toMany(t, client, to(beside, db.Any{}, worded("X")...), to(stream, db.Any{}, large))
	refused(t, err, db.ErrorCodeAppendRecordSizeExceeded)
	of := detail[*db.AppendRecordSizeExceededError](t, err)
	equal(t, fmt.Sprintln(of.Stream, of.RecordId, of.Size > of.MaxSize, of.MaxSize), fmt.Sprintln(stream, large.EventID, true, 4<<20))
	_, err = toMany(t, client, to(beside, db.Any{}, worded("X")...), to(stream, db.Any{}, sized(3<<20), sized(3<<20), sized(3<<20)))
	refused(t, err, db.ErrorCodeAppendTransactionSizeExceeded)
	all := detail[*db.AppendTransactionSizeExceededError](t, err)
	equal(t, fmt.Sprint(all.Size > all.MaxSize, all.MaxSize), fmt.Sprint(true, 8<<20))
	missing(t, client, stream)
	missing(t, client, beside)
}

func TestMultiNone(t *testing.T) {
	client := plain(t, serve(t))
	_, err := toMany(t, client)
	if err == nil || !strings.Contains(err.Error(), "code = FailedPrecondition") {
		t.Fatalf("no append is not refused: %v", err)
	}
}

func TestMultiCannotBe(t *testing.T) {
	client := plain(t, serve(t))
	beside := fresh("go")
	for what, wrong := range map[string]db.AppendStreamRequest{
		"no name": to("", db.Any{}, worded("X")...), "no records": to(fresh("go"), db.Any{}), "no type": to(fresh("go"), db.Any{}, worded("")...),
	} {
		_, err := toMany(t, client, to(beside, db.Any{}, worded("X")...), wrong)
		if err == nil || !strings.Contains(err.Error(), "code = InvalidArgument") {
			t.Fatalf("%s is not refused: %v", what, err)
		}
	}
	missing(t, client, beside)
	// One stream may come more than once.
	_, err := toMany(t, client, to(beside, db.NoStream{}, worded("A")...), to(fresh("go"), db.Any{}, worded("X")...), to(beside, db.Any{}, worded("B")...))
	must(t, err)
	found, err := read(t, client, beside, db.ReadStreamOptions{})
	must(t, err)
	equal(t, numbers(found), "0 1")
}

func TestMultiWithoutAnId(t *testing.T) {
	client := plain(t, serve(t))
	stream, nameless := fresh("go"), worded("X")
	nameless[0].EventID = uuid.Nil
	_, err := toMany(t, client, to(stream, db.Any{}, nameless...))
	if err == nil || !strings.Contains(err.Error(), "code = InvalidArgument") {
		t.Fatalf("it is not refused: %v", err)
	}
	missing(t, client, stream)
}

func record(stream, name string) db.AppendRecord {
	return db.AppendRecord{Stream: stream, Record: worded(name)[0]}
}

func check(stream string, state db.StreamState) db.ConsistencyCheck {
	return db.StreamStateCheck{Stream: stream, ExpectedState: state}
}

func TestMultiRecords(t *testing.T) {
	client := plain(t, serve(t))
	one, two, limit, nobody := fresh("go"), fresh("go"), fresh("go"), fresh("go")
	done, err := client.AppendRecords(soon(t), []db.AppendRecord{record(one, "A"), record(two, "B"), record(one, "C")})
	must(t, err)
	revisions := map[string]int64{}
	for _, each := range done.Responses {
		revisions[each.Stream] = each.StreamRevision
	}
	equal(t, fmt.Sprint(revisions[one], revisions[two], len(revisions)), "1 0 2")
	whole, err := all(t, client, db.ReadAllOptions{})
	must(t, err)
	var order []string
	for _, each := range whole {
		if each.Event.StreamID == one || each.Event.StreamID == two {
			order = append(order, each.Event.EventType)
		}
	}
	equal(t, fmt.Sprint(order), "[A B C]")
	appendTo(t, client, limit, db.NoStream{}, "A", "B")
	_, err = client.AppendRecords(soon(t), []db.AppendRecord{record(one, "D")}, check(limit, db.Revision(1)), check(nobody, db.NoStream{}), check(one, db.StreamExists{}))
	must(t, err)
	missing(t, client, nobody)
}

func TestMultiRecordsRefused(t *testing.T) {
	client := plain(t, serve(t))
	limit, deleted, buried, nobody, beside := fresh("go"), fresh("go"), fresh("go"), fresh("go"), fresh("go")
	for _, stream := range []string{limit, deleted, buried} {
		appendTo(t, client, stream, db.NoStream{}, "A", "B")
	}
	_, err := client.DeleteStream(soon(t), deleted, db.DeleteStreamOptions{})
	must(t, err)
	_, err = client.TombstoneStream(soon(t), buried, db.TombstoneStreamOptions{})
	must(t, err)
	one := []db.AppendRecord{record(beside, "X")}
	_, err = client.AppendRecords(soon(t), one, check(limit, db.Revision(0)), check(nobody, db.NoStream{}), check(beside, db.StreamExists{}))
	refused(t, err, db.ErrorCodeAppendConsistencyViolation)
	var found []string
	for _, each := range detail[*db.AppendConsistencyViolationError](t, err).Violations {
		found = append(found, fmt.Sprintf("%d %s %v %v", each.CheckIndex, each.Stream, each.ExpectedState, each.ActualState))
	}
	equal(t, strings.Join(found, ", "), fmt.Sprintf("0 %s {0} {1}, 2 %s {} {}", limit, beside))
	for _, each := range []struct {
		check  db.ConsistencyCheck
		passes bool
	}{
		{check(deleted, db.StreamExists{}), false}, {check(buried, db.StreamExists{}), false}, {check(buried, db.Revision(1)), false}, {check(deleted, db.Revision(0)), false},
		{check(deleted, db.NoStream{}), true}, {check(buried, db.NoStream{}), true}, {check(deleted, db.Revision(1)), true},
	} {
		_, err = client.AppendRecords(soon(t), one, each.check)
		if each.passes {
			must(t, err)
			one = []db.AppendRecord{record(beside, "X")}
			continue
		}
		refused(t, err, db.ErrorCodeAppendConsistencyViolation)
		equal(t, len(detail[*db.AppendConsistencyViolationError](t, err).Violations), 1)
	}
	// Anything is no check, and one stream is checked once.
	for _, checks := range [][]db.ConsistencyCheck{{check(limit, db.Any{})}, {check(limit, db.Revision(1)), check(limit, db.StreamExists{})}} {
		_, err = client.AppendRecords(soon(t), one, checks...)
		if err == nil || !strings.Contains(err.Error(), "code = InvalidArgument") {
			t.Fatalf("%v is not refused: %v", checks, err)
		}
	}
	_, err = client.AppendRecords(soon(t), []db.AppendRecord{record(buried, "X")})
	refused(t, err, db.ErrorCodeStreamTombstoned)
	large := record(beside, "L")
	large.Record.Data = []byte(`"` + strings.Repeat("x", 5<<20) + `"`)
	_, err = client.AppendRecords(soon(t), []db.AppendRecord{large})
	refused(t, err, db.ErrorCodeAppendRecordSizeExceeded)
	left, err := read(t, client, beside, db.ReadStreamOptions{})
	must(t, err)
	equal(t, numbers(left), "0 1 2")
}
