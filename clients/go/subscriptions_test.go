package clients

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	db "github.com/kurrent-io/KurrentDB-Client-Go/kurrentdb"
)

func TestSubscriptionsOfAStream(t *testing.T) {
	client := plain(t, serve(t))
	stream := fresh("go")
	appendTo(t, client, stream, db.NoStream{}, "A", "B")
	subscription, err := client.SubscribeToStream(soon(t), stream, db.SubscribeToStreamOptions{From: db.Revision(0)})
	must(t, err)
	defer subscription.Close()
	equal(t, numbers(next(t, subscription, 1)), "1")
	appendTo(t, client, stream, db.Any{}, "C")
	equal(t, numbers(next(t, subscription, 1)), "2")
	_, err = client.TombstoneStream(soon(t), stream, db.TombstoneStreamOptions{})
	must(t, err)
	dropped := make(chan error, 1)
	go func() {
		for {
			if event := subscription.Recv(); event.SubscriptionDropped != nil {
				dropped <- event.SubscriptionDropped.Error
				return
			}
		}
	}()
	select {
	case err := <-dropped:
		refused(t, err, db.ErrorCodeStreamDeleted)
	case <-time.After(20 * time.Second):
		t.Fatal("the subscription goes on after a tombstone")
	}
}

func TestSubscriptionsOfAll(t *testing.T) {
	client := plain(t, serve(t))
	tag := fresh("gosub")
	filters := []*db.SubscriptionFilter{
		{Type: db.StreamFilterType, Prefixes: []string{tag}}, {Type: db.StreamFilterType, Regex: "^" + tag},
		{Type: db.EventFilterType, Prefixes: []string{tag}}, {Type: db.EventFilterType, Regex: "^" + tag},
	}
	appendTo(t, client, fresh("other"), db.Any{}, "No")
	appendTo(t, client, tag+"-1", db.Any{}, tag+"A")
	var open []*db.Subscription
	for _, filter := range filters {
		subscription, err := client.SubscribeToAll(soon(t), db.SubscribeToAllOptions{From: db.Start{}, Filter: filter})
		must(t, err)
		defer subscription.Close()
		equal(t, next(t, subscription, 1)[0].Event.EventType, tag+"A")
		open = append(open, subscription)
	}
	appendTo(t, client, tag+"-2", db.Any{}, tag+"B")
	for _, subscription := range open {
		equal(t, next(t, subscription, 1)[0].Event.EventType, tag+"B")
	}
}

func TestSubscriptionsCheckpoints(t *testing.T) {
	client := plain(t, serve(t))
	types := make([]string, 300)
	for at := range types {
		types[at] = "E"
	}
	appendTo(t, client, fresh("go"), db.Any{}, types...)
	filter := &db.SubscriptionFilter{Type: db.StreamFilterType, Prefixes: []string{"nothing"}}
	options := db.SubscribeToAllOptions{From: db.Start{}, Filter: filter, MaxSearchWindow: 16, CheckpointInterval: 2}
	subscription, err := client.SubscribeToAll(soon(t), options)
	must(t, err)
	defer subscription.Close()
	points, last := 0, uint64(0)
	for caught := false; !caught || points < 5; {
		event := subscription.Recv()
		if event.SubscriptionDropped != nil {
			t.Fatal(event.SubscriptionDropped.Error)
		}
		if event.EventAppeared != nil {
			t.Fatal("an event that should not pass")
		}
		if point := event.CheckPointReached; point != nil {
			if point.Commit < last {
				t.Fatalf("a checkpoint at %d after one at %d", point.Commit, last)
			}
			points, last = points+1, point.Commit
		}
		if event.CaughtUp != nil {
			caught = true
			if age := time.Since(event.CaughtUp.Date); age < -time.Minute || age > time.Minute {
				t.Fatalf("caught up at %v", event.CaughtUp.Date)
			}
		}
	}
}

// caught waits until a subscription says that it has caught up; nothing else may come before.
func caught(t *testing.T, subscription *db.Subscription) *db.CaughtUp {
	t.Helper()
	got := make(chan *db.SubscriptionEvent, 1)
	go func() {
		event := subscription.Recv()
		for event.CheckPointReached != nil {
			event = subscription.Recv()
		}
		got <- event
	}()
	select {
	case event := <-got:
		if event.CaughtUp == nil {
			t.Fatalf("not that it has caught up: %+v", event)
		}
		return event.CaughtUp
	case <-time.After(20 * time.Second):
		t.Fatal("not caught up within 20 s")
		return nil
	}
}

func TestSubscriptionsOfAStreamFrom(t *testing.T) {
	client := plain(t, serve(t))
	stream := fresh("go")
	appendTo(t, client, stream, db.NoStream{}, "A", "B", "C")
	for _, each := range []struct {
		from   db.StreamPosition
		before int
		wanted string
	}{{db.Start{}, 3, "0 1 2"}, {db.Revision(0), 2, "1 2"}, {db.Revision(2), 0, ""}} {
		subscription, err := client.SubscribeToStream(soon(t), stream, db.SubscribeToStreamOptions{From: each.from})
		must(t, err)
		equal(t, numbers(next(t, subscription, each.before)), each.wanted)
		revision := caught(t, subscription).StreamRevision
		if revision == nil || *revision != 2 {
			t.Fatalf("caught up at %v", revision)
		}
		must(t, subscription.Close())
	}
	end, err := client.SubscribeToStream(soon(t), stream, db.SubscribeToStreamOptions{From: db.End{}})
	must(t, err)
	defer end.Close()
	caught(t, end)
	appendTo(t, client, stream, db.Any{}, "D")
	equal(t, numbers(next(t, end, 1)), "3")
}

func TestSubscriptionsCaughtUpFromTheEnd(t *testing.T) {
	client := plain(t, serve(t))
	stream := fresh("go")
	appendTo(t, client, stream, db.NoStream{}, "A", "B", "C")
	subscription, err := client.SubscribeToStream(soon(t), stream, db.SubscribeToStreamOptions{From: db.End{}})
	must(t, err)
	defer subscription.Close()
	revision := caught(t, subscription).StreamRevision
	if revision == nil || *revision != 2 {
		t.Fatalf("caught up at %v, wanted 2", revision)
	}
}

func TestSubscriptionsOfWhatIsNotThere(t *testing.T) {
	client := plain(t, serve(t))
	stream := fresh("go")
	subscription, err := client.SubscribeToStream(soon(t), stream, db.SubscribeToStreamOptions{From: db.Start{}})
	must(t, err)
	defer subscription.Close()
	caught(t, subscription)
	appendTo(t, client, stream, db.NoStream{}, "A")
	equal(t, numbers(next(t, subscription, 1)), "0")
	// It outlives a deletion, and not a tombstone.
	_, err = client.DeleteStream(soon(t), stream, db.DeleteStreamOptions{})
	must(t, err)
	appendTo(t, client, stream, db.NoStream{}, "B")
	equal(t, numbers(next(t, subscription, 1)), "1")
	_, err = client.TombstoneStream(soon(t), stream, db.TombstoneStreamOptions{})
	must(t, err)
	event := subscription.Recv()
	for event.SubscriptionDropped == nil {
		event = subscription.Recv()
	}
	refused(t, event.SubscriptionDropped.Error, db.ErrorCodeStreamDeleted)
	again, err := client.SubscribeToStream(soon(t), stream, db.SubscribeToStreamOptions{From: db.Start{}})
	for err == nil {
		if event = again.Recv(); event.SubscriptionDropped != nil {
			err = event.SubscriptionDropped.Error
		}
	}
	refused(t, err, db.ErrorCodeStreamDeleted)
}

func TestSubscriptionsOfAllFrom(t *testing.T) {
	client := plain(t, serve(t))
	stream := fresh("go")
	appendTo(t, client, stream, db.NoStream{}, "A", "B", "C")
	found, err := read(t, client, stream, db.ReadStreamOptions{})
	must(t, err)
	// A position is one that was seen: what comes is after it.
	for from, wanted := range map[db.AllPosition]string{found[1].Event.Position: "C", db.End{}: ""} {
		subscription, err := client.SubscribeToAll(soon(t), db.SubscribeToAllOptions{From: from})
		must(t, err)
		for _, each := range next(t, subscription, len(wanted)) {
			equal(t, each.Event.EventType, wanted)
		}
		position := caught(t, subscription).Position
		if position == nil || position.Commit < found[2].Event.Position.Commit {
			t.Fatalf("caught up at %v", position)
		}
		must(t, subscription.Close())
	}
	subscription, err := client.SubscribeToAll(soon(t), db.SubscribeToAllOptions{From: db.End{}})
	must(t, err)
	defer subscription.Close()
	appendTo(t, client, stream, db.Any{}, "D")
	equal(t, next(t, subscription, 1)[0].Event.EventType, "D")
	whole, err := client.SubscribeToAll(soon(t), db.SubscribeToAllOptions{From: db.Start{}, Filter: db.ExcludeSystemEventsFilter()})
	must(t, err)
	defer whole.Close()
	equal(t, numbers(next(t, whole, 4)), "0 1 2 3")
}

func TestSubscriptionsOfNoExpression(t *testing.T) {
	client := plain(t, serve(t))
	filter := &db.SubscriptionFilter{Type: db.EventFilterType, Regex: "("}
	_, err := client.SubscribeToAll(soon(t), db.SubscribeToAllOptions{From: db.Start{}, Filter: filter})
	if err == nil || !strings.Contains(err.Error(), "code = InvalidArgument") {
		t.Fatalf("it is not refused: %v", err)
	}
	appendTo(t, client, fresh("go"), db.NoStream{}, "A")
}

func TestSubscriptionsOfASlowReader(t *testing.T) {
	client := plain(t, serve(t))
	stream := fresh("go")
	subscription, err := client.SubscribeToStream(soon(t), stream, db.SubscribeToStreamOptions{From: db.Start{}})
	must(t, err)
	defer subscription.Close()
	caught(t, subscription)
	// More than is kept for it while nobody reads.
	many := slices.Repeat([]string{strings.Repeat("E", 200)}, 500)
	for range 6 {
		appendTo(t, client, stream, db.Any{}, many...)
	}
	for at, each := range next(t, subscription, 3000) {
		equal(t, each.Event.EventNumber, uint64(at))
	}
	appendTo(t, client, stream, db.Any{}, "Last")
	equal(t, numbers(next(t, subscription, 1)), "3000")
}

func TestRestart(t *testing.T) {
	for _, signal := range []string{"TERM", "KILL"} {
		t.Run(signal, func(t *testing.T) {
			server := serve(t)
			client := plain(t, server)
			stream := fresh("go")
			same := events("A", "B")
			first, err := client.AppendToStream(soon(t), stream, db.AppendToStreamOptions{StreamState: db.NoStream{}}, same...)
			must(t, err)
			subscription, err := client.SubscribeToStream(soon(t), stream, db.SubscribeToStreamOptions{From: db.Start{}})
			must(t, err)
			next(t, subscription, 2)
			code := server.end(signal)
			equal(t, code, map[string]int{"TERM": 0, "KILL": 137}[signal])
			for event := subscription.Recv(); event.SubscriptionDropped == nil; event = subscription.Recv() {
			}
			server.start(t)
			var again *db.WriteResult
			for end := time.Now().Add(30 * time.Second); again == nil; time.Sleep(100 * time.Millisecond) {
				again, err = client.AppendToStream(soon(t), stream, db.AppendToStreamOptions{StreamState: db.NoStream{}}, same...)
				if err != nil && time.Now().After(end) {
					t.Fatal(err)
				}
			}
			equal(t, *again, *first)
			appendTo(t, client, stream, db.Revision(1), "C")
			rest, err := client.SubscribeToStream(soon(t), stream, db.SubscribeToStreamOptions{From: db.Revision(1)})
			must(t, err)
			defer rest.Close()
			equal(t, numbers(next(t, rest, 1)), "2")
		})
	}
}

func TestRestartFiltered(t *testing.T) {
	for _, signal := range []string{"TERM", "KILL"} {
		t.Run(signal, func(t *testing.T) {
			server := serve(t)
			client := plain(t, server)
			tag, other := fresh("gotag"), fresh("other")
			filter := &db.SubscriptionFilter{Type: db.StreamFilterType, Prefixes: []string{tag}}
			options := db.SubscribeToAllOptions{From: db.Start{}, Filter: filter, MaxSearchWindow: 4, CheckpointInterval: 1}
			noise := slices.Repeat([]string{"No"}, 40)
			appendTo(t, client, tag, db.NoStream{}, "A", "B")
			appendTo(t, client, other, db.Any{}, noise...)
			subscription, err := client.SubscribeToAll(soon(t), options)
			must(t, err)
			last := next(t, subscription, 2)[1].Event.Position
			var point *db.Position
			for point == nil || point.Commit <= last.Commit {
				event := subscription.Recv()
				if event.SubscriptionDropped != nil {
					t.Fatal(event.SubscriptionDropped.Error)
				}
				if event.CheckPointReached != nil {
					point = event.CheckPointReached
				}
			}
			server.end(signal)
			for event := subscription.Recv(); event.SubscriptionDropped == nil; event = subscription.Recv() {
				if event.EventAppeared != nil {
					t.Fatalf("an event that should not pass: %v", event.EventAppeared.Event)
				}
			}
			server.start(t)
			later := plain(t, server)
			appendTo(t, later, other, db.Any{}, noise...)
			appendTo(t, later, tag, db.Revision(1), "C")
			options.From = *point
			rest, err := later.SubscribeToAll(soon(t), options)
			must(t, err)
			defer rest.Close()
			equal(t, numbers(next(t, rest, 1)), "2")
			appendTo(t, later, tag, db.Revision(2), "D")
			equal(t, numbers(next(t, rest, 1)), "3")
		})
	}
}

func TestPersistent(t *testing.T) {
	client := plain(t, serve(t))
	stream := fresh("go")
	appendTo(t, client, stream, db.NoStream{}, "A", "B", "C")
	settings := db.SubscriptionSettingsDefault()
	options := db.PersistentStreamSubscriptionOptions{Settings: &settings, StartFrom: db.Start{}}
	must(t, client.CreatePersistentSubscription(soon(t), stream, "group", options))
	refused(t, client.CreatePersistentSubscription(soon(t), stream, "group", options), db.ErrorCodeResourceAlreadyExists)
	subscription, err := client.SubscribeToPersistentSubscription(soon(t), stream, "group", db.SubscribeToPersistentSubscriptionOptions{})
	must(t, err)
	recv := func() *db.EventAppeared {
		for {
			event := subscription.Recv()
			if event.SubscriptionDropped != nil {
				t.Fatal(event.SubscriptionDropped.Error)
			}
			if event.EventAppeared != nil {
				return event.EventAppeared
			}
		}
	}
	a, b, c := recv(), recv(), recv()
	must(t, subscription.Ack(a.Event))
	must(t, subscription.Nack("again", db.NackActionRetry, b.Event))
	again := recv()
	equal(t, again.Event.Event.EventID, b.Event.Event.EventID)
	equal(t, again.RetryCount, 1)
	must(t, subscription.Nack("later", db.NackActionPark, again.Event, c.Event))
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		info, err := client.GetPersistentSubscriptionInfo(soon(t), stream, "group", db.GetPersistentSubscriptionOptions{})
		must(t, err)
		if info.Stats.ParkedMessagesCount == 2 {
			equal(t, fmt.Sprint(info.GroupName, len(info.Connections)), "group1")
			break
		}
		if time.Now().After(end) {
			t.Fatalf("parked: %d", info.Stats.ParkedMessagesCount)
		}
	}
	must(t, client.ReplayParkedMessages(soon(t), stream, "group", db.ReplayParkedMessagesOptions{}))
	must(t, subscription.Ack(recv().Event, recv().Event))
	listed, err := client.ListPersistentSubscriptionsForStream(soon(t), stream, db.ListPersistentSubscriptionsOptions{})
	must(t, err)
	equal(t, len(listed), 1)
	must(t, client.DeletePersistentSubscription(soon(t), stream, "group", db.DeletePersistentSubscriptionOptions{}))
	refused(t, client.DeletePersistentSubscription(soon(t), stream, "group", db.DeletePersistentSubscriptionOptions{}), db.ErrorCodeResourceNotFound)
	for event := subscription.Recv(); event.SubscriptionDropped == nil; event = subscription.Recv() {
	}
}

func TestPersistentOfAll(t *testing.T) {
	client := plain(t, serve(t))
	tag := fresh("gopsub")
	settings := db.SubscriptionSettingsDefault()
	filter := &db.SubscriptionFilter{Type: db.StreamFilterType, Prefixes: []string{tag}}
	options := db.PersistentAllSubscriptionOptions{Settings: &settings, StartFrom: db.Start{}, Filter: filter}
	must(t, client.CreatePersistentSubscriptionToAll(soon(t), "group", options))
	appendTo(t, client, fresh("other"), db.Any{}, "No")
	appendTo(t, client, tag, db.Any{}, "A")
	subscription, err := client.SubscribeToPersistentSubscriptionToAll(soon(t), "group", db.SubscribeToPersistentSubscriptionOptions{})
	must(t, err)
	defer subscription.Close()
	for {
		event := subscription.Recv()
		if event.SubscriptionDropped != nil {
			t.Fatal(event.SubscriptionDropped.Error)
		}
		if event.EventAppeared != nil {
			equal(t, event.EventAppeared.Event.Event.StreamID, tag)
			break
		}
	}
}
