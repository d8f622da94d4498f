package clients

import (
	"fmt"
	"testing"

	"github.com/google/uuid"
	db "github.com/kurrent-io/KurrentDB-Client-Go/kurrentdb"
)

func link(number uint64, stream string) db.EventData {
	return db.EventData{EventID: uuid.New(), EventType: "$>", ContentType: db.ContentTypeBinary, Data: fmt.Appendf(nil, "%d@%s", number, stream)}
}

func appended(t *testing.T, client *db.Client, stream string, events ...db.EventData) {
	t.Helper()
	_, err := client.AppendToStream(soon(t), stream, db.AppendToStreamOptions{}, events...)
	must(t, err)
}

func TestLinksOfOnesOwn(t *testing.T) {
	client := plain(t, serve(t))
	stream, index := fresh("go"), fresh("index")
	appendTo(t, client, stream, db.NoStream{}, "A", "B")
	appended(t, client, index, link(1, stream))
	found, err := read(t, client, index, db.ReadStreamOptions{ResolveLinkTos: true})
	must(t, err)
	equal(t, fmt.Sprint(found[0].Event.EventType, found[0].Event.EventNumber, found[0].Event.StreamID), "B1"+stream)
	equal(t, fmt.Sprint(found[0].Link.EventType, found[0].Link.EventNumber, found[0].Link.StreamID), "$>0"+index)
	found, err = read(t, client, index, db.ReadStreamOptions{})
	must(t, err)
	equal(t, found[0].Event.EventType, "$>")
	equal(t, found[0].Link, nil)
	subscription, err := client.SubscribeToStream(soon(t), index, db.SubscribeToStreamOptions{From: db.Start{}, ResolveLinkTos: true})
	must(t, err)
	defer subscription.Close()
	equal(t, next(t, subscription, 1)[0].Event.EventType, "B")
	whole, err := all(t, client, db.ReadAllOptions{ResolveLinkTos: true})
	must(t, err)
	count := 0
	for _, each := range whole {
		if each.Event != nil && each.Event.EventType == "B" {
			count++
		}
	}
	equal(t, count, 2)
}

func TestLinksToWhatIsGone(t *testing.T) {
	client := plain(t, serve(t))
	deleted, buried, hidden, index := fresh("go"), fresh("go"), fresh("go"), fresh("index")
	for _, stream := range []string{deleted, buried, hidden} {
		appendTo(t, client, stream, db.NoStream{}, "A", "B")
	}
	_, err := client.DeleteStream(soon(t), deleted, db.DeleteStreamOptions{})
	must(t, err)
	_, err = client.TombstoneStream(soon(t), buried, db.TombstoneStreamOptions{})
	must(t, err)
	set(t, client, hidden, func(metadata *db.StreamMetadata) { metadata.SetTruncateBefore(1) })
	appended(t, client, index, link(0, deleted), link(0, buried), link(0, hidden), link(7, hidden), link(0, fresh("go")), link(1, hidden))
	found, err := read(t, client, index, db.ReadStreamOptions{ResolveLinkTos: true})
	must(t, err)
	equal(t, len(found), 6)
	for at, each := range found {
		equal(t, each.Link.EventNumber, uint64(at))
		equal(t, each.Event == nil, at < 5)
	}
}

func TestLinksOfATypeAndACorrelation(t *testing.T) {
	client := plain(t, serve(t))
	one, two, of := fresh("go"), fresh("go"), uuid.NewString()
	made := events("A", "Other", "A")
	made[0].Metadata = fmt.Appendf(nil, `{"$correlationId":%q}`, of)
	made[2].Metadata = made[0].Metadata
	appended(t, client, one, made[:2]...)
	appended(t, client, two, made[2])
	for _, index := range []string{"$et-A", "$bc-" + of} {
		found, err := read(t, client, index, db.ReadStreamOptions{ResolveLinkTos: true})
		must(t, err)
		equal(t, numbers(found), "0 1")
		equal(t, fmt.Sprint(found[0].Event.StreamID, found[1].Event.StreamID), one+two)
		subscription, err := client.SubscribeToStream(soon(t), index, db.SubscribeToStreamOptions{From: db.Revision(0), ResolveLinkTos: true})
		must(t, err)
		defer subscription.Close()
		equal(t, next(t, subscription, 1)[0].Event.StreamID, two)
	}
	last, err := drain(client.ReadStream(soon(t), "$et-A", db.ReadStreamOptions{Direction: db.Backwards, From: db.End{}, ResolveLinkTos: true}, 1))
	must(t, err)
	equal(t, fmt.Sprint(numbers(last), last[0].Event.StreamID), "1"+two)
	for _, index := range []string{"$et-None", "$bc-none", "$ce-none"} {
		_, err = read(t, client, index, db.ReadStreamOptions{})
		refused(t, err, db.ErrorCodeResourceNotFound)
	}
}

func TestLinksOfACategoryToWhatIsGone(t *testing.T) {
	client := plain(t, serve(t))
	for _, stream := range []string{"golinks-deleted", "golinks-buried", "golinks-hidden"} {
		appendTo(t, client, stream, db.NoStream{}, "A")
	}
	appendTo(t, client, "golinks-hidden", db.Any{}, "B")
	_, err := client.DeleteStream(soon(t), "golinks-deleted", db.DeleteStreamOptions{})
	must(t, err)
	_, err = client.TombstoneStream(soon(t), "golinks-buried", db.TombstoneStreamOptions{})
	must(t, err)
	set(t, client, "golinks-hidden", func(metadata *db.StreamMetadata) { metadata.SetTruncateBefore(1) })
	found, err := read(t, client, "$ce-golinks", db.ReadStreamOptions{ResolveLinkTos: true})
	must(t, err)
	equal(t, numbers(found), "0 1 2 3")
	for at, each := range found {
		if (each.Event == nil) != (at < 3) {
			t.Errorf("link %d to %s: event %v", at, each.Link.Data, each.Event)
		}
	}
}

func TestLinksOfAllStreams(t *testing.T) {
	client := plain(t, serve(t))
	one, two := fresh("go"), fresh("go")
	appendTo(t, client, one, db.NoStream{}, "A", "B")
	appendTo(t, client, two, db.NoStream{}, "C")
	found, err := read(t, client, "$streams", db.ReadStreamOptions{ResolveLinkTos: true})
	must(t, err)
	var own []string
	for _, each := range found {
		if each.Event.StreamID == one || each.Event.StreamID == two {
			own = append(own, each.Event.EventType)
		}
	}
	equal(t, fmt.Sprint(own), "[A C]")
	// The streams of a category, each by its first event.
	found, err = read(t, client, "$category-go", db.ReadStreamOptions{ResolveLinkTos: true})
	must(t, err)
	equal(t, fmt.Sprint(found[0].Event.StreamID, found[1].Event.StreamID, len(found)), fmt.Sprint(one, two, 2))
}

func TestLinksOfAppendsToMany(t *testing.T) {
	client := plain(t, serve(t))
	made, of := worded("A"), uuid.NewString()
	made[0].Metadata = fmt.Appendf(nil, `{"$correlationId":%q}`, of)
	_, err := toMany(t, client, to("golinks-1", db.NoStream{}, made...))
	must(t, err)
	for _, index := range []string{"$bc-" + of, "$ce-golinks", "$et-A"} {
		found, err := read(t, client, index, db.ReadStreamOptions{ResolveLinkTos: true})
		must(t, err)
		equal(t, found[0].Event.EventID, made[0].EventID)
	}
}

func TestLinksCannotBeWrittenTo(t *testing.T) {
	client := plain(t, serve(t))
	appendTo(t, client, "golinks-1", db.NoStream{}, "A")
	_, err := client.AppendToStream(soon(t), "$ce-golinks", db.AppendToStreamOptions{}, events("X")...)
	refused(t, err, db.ErrorCodeUnknown)
	found, err := read(t, client, "$ce-golinks", db.ReadStreamOptions{})
	must(t, err)
	equal(t, numbers(found), "0")
}

func TestLinksOverARestart(t *testing.T) {
	server := serve(t)
	client := plain(t, server)
	appendTo(t, client, "golinks-1", db.NoStream{}, "A", "B")
	subscription, err := client.SubscribeToStream(soon(t), "$ce-golinks", db.SubscribeToStreamOptions{From: db.Start{}})
	must(t, err)
	equal(t, numbers(next(t, subscription, 2)), "0 1")
	server.end("KILL")
	for event := subscription.Recv(); event.SubscriptionDropped == nil; event = subscription.Recv() {
	}
	server.start(t)
	later := plain(t, server)
	appendTo(t, later, "golinks-2", db.NoStream{}, "C")
	rest, err := later.SubscribeToStream(soon(t), "$ce-golinks", db.SubscribeToStreamOptions{From: db.Revision(1)})
	must(t, err)
	defer rest.Close()
	equal(t, string(next(t, rest, 1)[0].Event.Data), "0@golinks-2")
}
