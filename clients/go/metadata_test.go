package clients

import (
	"fmt"
	"strings"
	"testing"
	"time"

	db "github.com/kurrent-io/KurrentDB-Client-Go/kurrentdb"
)

func set(t *testing.T, client *db.Client, stream string, change func(*db.StreamMetadata)) {
	t.Helper()
	var metadata db.StreamMetadata
	change(&metadata)
	_, err := client.SetStreamMetadata(soon(t), stream, db.AppendToStreamOptions{}, metadata)
	must(t, err)
}

func metadata(t *testing.T, client *db.Client, stream string) *db.StreamMetadata {
	t.Helper()
	got, err := client.GetStreamMetadata(soon(t), stream, db.ReadStreamOptions{Direction: db.Backwards, From: db.End{}})
	must(t, err)
	return got
}

func filled(t *testing.T, client *db.Client) string {
	t.Helper()
	stream := fresh("go")
	appendTo(t, client, stream, db.NoStream{}, "A", "B", "C", "D", "E")
	return stream
}

func shown(t *testing.T, client *db.Client, stream, forwards, backwards string) {
	t.Helper()
	for _, each := range []struct {
		options db.ReadStreamOptions
		wanted  string
	}{
		{db.ReadStreamOptions{}, forwards}, {db.ReadStreamOptions{From: db.Revision(1)}, forwards},
		{db.ReadStreamOptions{Direction: db.Backwards, From: db.End{}}, backwards},
	} {
		found, err := read(t, client, stream, each.options)
		must(t, err)
		equal(t, numbers(found), each.wanted)
	}
}

func TestMetadataExpectations(t *testing.T) {
	client := plain(t, serve(t))
	stream := filled(t, client)
	// A stream without any: there is no such stream.
	_, err := client.GetStreamMetadata(soon(t), stream, db.ReadStreamOptions{Direction: db.Backwards, From: db.End{}})
	refused(t, err, db.ErrorCodeResourceNotFound)
	var one db.StreamMetadata
	one.SetMaxCount(100)
	for _, state := range []db.StreamState{db.NoStream{}, db.Revision(0)} {
		_, err = client.SetStreamMetadata(soon(t), stream, db.AppendToStreamOptions{StreamState: state}, one)
		must(t, err)
	}
	_, err = client.SetStreamMetadata(soon(t), stream, db.AppendToStreamOptions{StreamState: db.Revision(0)}, one)
	refused(t, err, db.ErrorCodeWrongExpectedVersion)
}

func TestMetadataHidesByCount(t *testing.T) {
	client := plain(t, serve(t))
	stream := filled(t, client)
	set(t, client, stream, func(metadata *db.StreamMetadata) { metadata.SetMaxCount(2) })
	shown(t, client, stream, "3 4", "4 3")
	appendTo(t, client, stream, db.Revision(4), "F")
	shown(t, client, stream, "4 5", "5 4")
	// What is hidden is still there, and in $all.
	whole, err := all(t, client, db.ReadAllOptions{})
	must(t, err)
	count := 0
	for _, each := range whole {
		if each.Event.StreamID == stream {
			count++
		}
	}
	equal(t, count, 6)
	set(t, client, stream, func(metadata *db.StreamMetadata) { metadata.SetMaxCount(4) })
	shown(t, client, stream, "2 3 4 5", "5 4 3 2")
}

func TestMetadataHidesBefore(t *testing.T) {
	client := plain(t, serve(t))
	stream := filled(t, client)
	set(t, client, stream, func(metadata *db.StreamMetadata) { metadata.SetTruncateBefore(3) })
	shown(t, client, stream, "3 4", "4 3")
	equal(t, *metadata(t, client, stream).TruncateBefore(), 3)
	equal(t, appendTo(t, client, stream, db.Revision(4), "F").NextExpectedVersion, 5)
	// A subscription from the start begins with what is shown.
	subscription, err := client.SubscribeToStream(soon(t), stream, db.SubscribeToStreamOptions{From: db.Start{}})
	must(t, err)
	defer subscription.Close()
	equal(t, numbers(next(t, subscription, 3)), "3 4 5")
}

func TestMetadataHidesByAge(t *testing.T) {
	client := plain(t, serve(t))
	stream := filled(t, client)
	set(t, client, stream, func(metadata *db.StreamMetadata) { metadata.SetMaxAge(time.Second) })
	time.Sleep(1500 * time.Millisecond)
	found, err := read(t, client, stream, db.ReadStreamOptions{})
	must(t, err)
	equal(t, numbers(found), "")
	set(t, client, stream, func(metadata *db.StreamMetadata) { metadata.SetMaxAge(time.Hour) })
	found, err = read(t, client, stream, db.ReadStreamOptions{})
	must(t, err)
	equal(t, numbers(found), "0 1 2 3 4")
}

func TestMetadataIsAStream(t *testing.T) {
	client := plain(t, serve(t))
	stream := filled(t, client)
	set(t, client, stream, func(metadata *db.StreamMetadata) {
		metadata.SetMaxCount(9)
		metadata.AddCustomProperty("mine", 1)
	})
	found, err := read(t, client, "$$"+stream, db.ReadStreamOptions{})
	must(t, err)
	equal(t, fmt.Sprint(numbers(found), found[0].Event.EventType, string(found[0].Event.Data)), `0$metadata{"$maxCount":9,"mine":1}`)
	last, err := drain(client.ReadAll(soon(t), db.ReadAllOptions{Direction: db.Backwards, From: db.End{}}, 1))
	must(t, err)
	equal(t, last[0].Event.StreamID, "$$"+stream)
}

func TestMetadataOfADeletion(t *testing.T) {
	client := plain(t, serve(t))
	stream := filled(t, client)
	set(t, client, stream, func(metadata *db.StreamMetadata) {
		metadata.SetMaxCount(100)
		metadata.AddCustomProperty("mine", "kept")
	})
	_, err := client.DeleteStream(soon(t), stream, db.DeleteStreamOptions{})
	must(t, err)
	found, err := read(t, client, "$$"+stream, db.ReadStreamOptions{Direction: db.Backwards, From: db.End{}})
	must(t, err)
	if text := string(found[0].Event.Data); !strings.Contains(text, `"$tb":9223372036854775807`) {
		t.Fatalf("the deletion is not in the metadata: %s", text)
	}
	equal(t, appendTo(t, client, stream, db.Any{}, "F").NextExpectedVersion, 5)
	got := metadata(t, client, stream)
	equal(t, fmt.Sprintln(*got.TruncateBefore(), *got.MaxCount(), got.CustomProperty("mine")), "5 100 kept\n")
	_, err = client.TombstoneStream(soon(t), stream, db.TombstoneStreamOptions{})
	must(t, err)
	_, err = client.SetStreamMetadata(soon(t), stream, db.AppendToStreamOptions{}, db.StreamMetadata{})
	refused(t, err, db.ErrorCodeStreamDeleted)
}

func TestMetadataMakesAStreamExist(t *testing.T) {
	client := plain(t, serve(t))
	stream := fresh("go")
	set(t, client, stream, func(metadata *db.StreamMetadata) { metadata.SetMaxCount(9) })
	_, err := read(t, client, stream, db.ReadStreamOptions{})
	refused(t, err, db.ErrorCodeResourceNotFound)
	equal(t, appendTo(t, client, stream, db.StreamExists{}, "A").NextExpectedVersion, 0)
}
