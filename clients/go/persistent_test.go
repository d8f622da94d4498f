package clients

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	db "github.com/kurrent-io/KurrentDB-Client-Go/kurrentdb"
)

// reader takes down what a consumer gets, and answers nothing by itself.
type reader struct {
	*db.PersistentSubscription
	events  chan *db.EventAppeared
	dropped chan error
}

func hear(t *testing.T, subscription *db.PersistentSubscription, err error) *reader {
	t.Helper()
	must(t, err)
	made := &reader{subscription, make(chan *db.EventAppeared, 1000), make(chan error, 1)}
	t.Cleanup(func() { _ = subscription.Close() })
	go func() {
		for {
			event := subscription.Recv()
			if event.SubscriptionDropped != nil {
				made.dropped <- event.SubscriptionDropped.Error
				return
			}
			if event.EventAppeared != nil {
				made.events <- event.EventAppeared
			}
		}
	}()
	return made
}

func open(t *testing.T, client *db.Client, stream string, buffer uint32) *reader {
	t.Helper()
	options := db.SubscribeToPersistentSubscriptionOptions{BufferSize: buffer}
	subscription, err := client.SubscribeToPersistentSubscription(soon(t), stream, "group", options)
	return hear(t, subscription, err)
}

func (r *reader) next(t *testing.T) *db.EventAppeared {
	t.Helper()
	select {
	case event := <-r.events:
		return event
	case err := <-r.dropped:
		t.Fatalf("dropped: %v", err)
	case <-time.After(20 * time.Second):
		t.Fatal("no event within 20 s")
	}
	return nil
}

// types gives the types of the next events, which it acknowledges.
func (r *reader) types(t *testing.T, count int) string {
	t.Helper()
	var words []string
	for range count {
		event := r.next(t)
		words = append(words, event.Event.Event.EventType)
		must(t, r.Ack(event.Event))
	}
	return strings.Join(words, " ")
}

// nothing says that no event comes for a while.
func (r *reader) nothing(t *testing.T) {
	t.Helper()
	select {
	case event := <-r.events:
		t.Fatalf("an event that should not come: %s", event.Event.Event.EventType)
	case err := <-r.dropped:
		t.Fatalf("dropped: %v", err)
	case <-time.After(300 * time.Millisecond):
	}
}

func (r *reader) end(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.dropped:
		return err
	case <-time.After(20 * time.Second):
		t.Fatal("the consumer is not ended")
	}
	return nil
}

// lost says that the server ended a consumer because of its group; this client shows the status as it came.
func lost(t *testing.T, err error, stream string) {
	t.Helper()
	words := fmt.Sprintf("code = Canceled desc = Subscription group group on stream %s was dropped.", stream)
	if err == nil || !strings.Contains(err.Error(), words) {
		t.Fatalf("no word that the group was dropped: %v", err)
	}
}

// grouped makes a stream with these events, and a group over it from the start.
func grouped(t *testing.T, client *db.Client, change func(*db.PersistentSubscriptionSettings), types ...string) string {
	t.Helper()
	stream := fresh("go")
	if len(types) > 0 {
		appendTo(t, client, stream, db.NoStream{}, types...)
	}
	must(t, client.CreatePersistentSubscription(soon(t), stream, "group", fromStart(change)))
	return stream
}

func fromStart(change func(*db.PersistentSubscriptionSettings)) db.PersistentStreamSubscriptionOptions {
	settings := db.SubscriptionSettingsDefault()
	if change != nil {
		change(&settings)
	}
	return db.PersistentStreamSubscriptionOptions{Settings: &settings, StartFrom: db.Start{}}
}

// told waits until what is told of a group is as it should be.
func told(t *testing.T, client *db.Client, stream string, ready func(*db.PersistentSubscriptionInfo) bool) *db.PersistentSubscriptionInfo {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		info, err := client.GetPersistentSubscriptionInfo(soon(t), stream, "group", db.GetPersistentSubscriptionOptions{})
		if err == nil && ready(info) {
			return info
		}
		if time.Now().After(end) {
			t.Fatalf("it is not told within 20 s: %+v, %v", info, err)
		}
	}
}

func parked(t *testing.T, client *db.Client, stream string, count int64) {
	t.Helper()
	told(t, client, stream, func(info *db.PersistentSubscriptionInfo) bool { return info.Stats.ParkedMessagesCount == count })
}

func TestPersistentGroup(t *testing.T) {
	client := plain(t, serve(t))
	stream := grouped(t, client, nil, "A")
	options := fromStart(func(settings *db.PersistentSubscriptionSettings) { settings.MaxRetryCount = 3 })
	refused(t, client.CreatePersistentSubscription(soon(t), stream, "group", options), db.ErrorCodeResourceAlreadyExists)
	seen := open(t, client, stream, 0)
	must(t, client.UpdatePersistentSubscription(soon(t), stream, "group", options))
	lost(t, seen.end(t), stream)
	told(t, client, stream, func(info *db.PersistentSubscriptionInfo) bool { return info.Settings.MaxRetryCount == 3 })
	seen = open(t, client, stream, 0)
	must(t, client.DeletePersistentSubscription(soon(t), stream, "group", db.DeletePersistentSubscriptionOptions{}))
	lost(t, seen.end(t), stream)
	refused(t, client.UpdatePersistentSubscription(soon(t), stream, "group", options), db.ErrorCodeResourceNotFound)
	refused(t, client.ReplayParkedMessages(soon(t), stream, "group", db.ReplayParkedMessagesOptions{}), db.ErrorCodeResourceNotFound)
	_, err := client.SubscribeToPersistentSubscription(soon(t), stream, "group", db.SubscribeToPersistentSubscriptionOptions{})
	refused(t, err, db.ErrorCodeResourceNotFound)
	_, err = client.GetPersistentSubscriptionInfo(soon(t), stream, "group", db.GetPersistentSubscriptionOptions{})
	refused(t, err, db.ErrorCodeResourceNotFound)
}

func TestPersistentGroupOfAll(t *testing.T) {
	client := plain(t, serve(t))
	settings := db.SubscriptionSettingsDefault()
	options := db.PersistentAllSubscriptionOptions{Settings: &settings, StartFrom: db.Start{}}
	must(t, client.CreatePersistentSubscriptionToAll(soon(t), "group", options))
	refused(t, client.CreatePersistentSubscriptionToAll(soon(t), "group", options), db.ErrorCodeResourceAlreadyExists)
	subscription, err := client.SubscribeToPersistentSubscriptionToAll(soon(t), "group", db.SubscribeToPersistentSubscriptionOptions{})
	seen := hear(t, subscription, err)
	settings.MaxRetryCount = 3
	must(t, client.UpdatePersistentSubscriptionToAll(soon(t), "group", options))
	lost(t, seen.end(t), "$all")
	info, err := client.GetPersistentSubscriptionInfoToAll(soon(t), "group", db.GetPersistentSubscriptionOptions{})
	must(t, err)
	equal(t, fmt.Sprint(info.EventSource, info.Settings.MaxRetryCount, info.Settings.StartFrom), "$all3 {}")
	must(t, client.ReplayParkedMessagesToAll(soon(t), "group", db.ReplayParkedMessagesOptions{}))
	must(t, client.DeletePersistentSubscriptionToAll(soon(t), "group", db.DeletePersistentSubscriptionOptions{}))
	refused(t, client.DeletePersistentSubscriptionToAll(soon(t), "group", db.DeletePersistentSubscriptionOptions{}), db.ErrorCodeResourceNotFound)
	refused(t, client.UpdatePersistentSubscriptionToAll(soon(t), "group", options), db.ErrorCodeResourceNotFound)
}

func TestPersistentRefusesSettings(t *testing.T) {
	client := plain(t, serve(t))
	// This client has no code for it, and shows the server's words.
	for _, change := range []func(*db.PersistentSubscriptionSettings){
		func(settings *db.PersistentSubscriptionSettings) { settings.ConsumerStrategyName = "Nobody" },
		func(settings *db.PersistentSubscriptionSettings) {
			settings.HistoryBufferSize, settings.ReadBatchSize = 10, 20
		},
	} {
		stream := fresh("go")
		err := client.CreatePersistentSubscription(soon(t), stream, "group", fromStart(change))
		refused(t, err, db.ErrorCodeUnknown)
		if !strings.Contains(err.Error(), fmt.Sprintf("code = Internal desc = Subscription group group on stream %s failed", stream)) {
			t.Fatalf("no word of the settings: %v", err)
		}
		_, err = client.GetPersistentSubscriptionInfo(soon(t), stream, "group", db.GetPersistentSubscriptionOptions{})
		refused(t, err, db.ErrorCodeResourceNotFound)
	}
}

func TestPersistentGroupMadeAnew(t *testing.T) {
	client := plain(t, serve(t))
	change := func(settings *db.PersistentSubscriptionSettings) {
		settings.CheckpointAfter, settings.CheckpointLowerBound, settings.CheckpointUpperBound = 50, 1, 1
	}
	stream := grouped(t, client, change, "A", "B")
	seen := open(t, client, stream, 0)
	equal(t, seen.types(t, 1), "A")
	must(t, seen.Nack("later", db.NackActionPark, seen.next(t).Event))
	parked(t, client, stream, 1)
	settled(t, client, stream, 1)
	// One that is changed goes on where it was, and keeps what is parked.
	must(t, client.UpdatePersistentSubscription(soon(t), stream, "group", fromStart(change)))
	lost(t, seen.end(t), stream)
	appendTo(t, client, stream, db.Any{}, "C")
	equal(t, open(t, client, stream, 0).types(t, 1), "C")
	parked(t, client, stream, 1)
	// One that is deleted and made again knows nothing.
	must(t, client.DeletePersistentSubscription(soon(t), stream, "group", db.DeletePersistentSubscriptionOptions{}))
	must(t, client.CreatePersistentSubscription(soon(t), stream, "group", fromStart(change)))
	parked(t, client, stream, 0)
	equal(t, open(t, client, stream, 0).types(t, 3), "A B C")
}

func TestPersistentReplayOfAll(t *testing.T) {
	client := plain(t, serve(t))
	settings := db.SubscriptionSettingsDefault()
	settings.CheckpointAfter, settings.CheckpointLowerBound, settings.CheckpointUpperBound = 50, 1, 1
	options := db.PersistentAllSubscriptionOptions{Settings: &settings, StartFrom: db.Start{}, Filter: &db.SubscriptionFilter{Type: db.StreamFilterType, Prefixes: []string{"go-"}}}
	must(t, client.CreatePersistentSubscriptionToAll(soon(t), "group", options))
	subscription, err := client.SubscribeToPersistentSubscriptionToAll(soon(t), "group", db.SubscribeToPersistentSubscriptionOptions{})
	seen := hear(t, subscription, err)
	done := appendTo(t, client, "go-1", db.NoStream{}, "A")
	must(t, seen.Nack("later", db.NackActionPark, seen.next(t).Event))
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		info, err := client.GetPersistentSubscriptionInfoToAll(soon(t), "group", db.GetPersistentSubscriptionOptions{})
		must(t, err)
		if at := info.Stats.LastCheckpointedPosition; info.Stats.ParkedMessagesCount == 1 && at != nil && at.Commit >= done.CommitPosition {
			equal(t, info.Stats.LastKnownPosition.Commit >= done.CommitPosition, true)
			break
		}
		if time.Now().After(end) {
			t.Fatalf("it is not told within 20 s: %+v", info.Stats)
		}
	}
	must(t, client.ReplayParkedMessagesToAll(soon(t), "group", db.ReplayParkedMessagesOptions{}))
	equal(t, seen.types(t, 1), "A")
}

func TestPersistentTooManyConsumers(t *testing.T) {
	client := plain(t, serve(t))
	stream := grouped(t, client, func(settings *db.PersistentSubscriptionSettings) { settings.MaxSubscriberCount = 1 }, "A")
	first := open(t, client, stream, 0)
	equal(t, first.types(t, 1), "A")
	// This client has no code for it, and shows the server's words.
	_, err := client.SubscribeToPersistentSubscription(soon(t), stream, "group", db.SubscribeToPersistentSubscriptionOptions{})
	refused(t, err, db.ErrorCodeUnknown)
	if !strings.Contains(err.Error(), "code = FailedPrecondition desc = Maximum subscriptions reached for subscription group group on stream "+stream) {
		t.Fatalf("no word of the maximum: %v", err)
	}
	must(t, first.Close())
	told(t, client, stream, func(info *db.PersistentSubscriptionInfo) bool { return len(info.Connections) == 0 })
	appendTo(t, client, stream, db.Any{}, "B")
	equal(t, open(t, client, stream, 0).types(t, 1), "B")
}

func TestPersistentFrom(t *testing.T) {
	client := plain(t, serve(t))
	for from, wanted := range map[db.StreamPosition]string{db.Start{}: "A B C D", db.Revision(1): "B C D", db.End{}: "D"} {
		stream := fresh("go")
		appendTo(t, client, stream, db.NoStream{}, "A", "B", "C")
		settings := db.SubscriptionSettingsDefault()
		options := db.PersistentStreamSubscriptionOptions{Settings: &settings, StartFrom: from}
		must(t, client.CreatePersistentSubscription(soon(t), stream, "group", options))
		info := told(t, client, stream, func(*db.PersistentSubscriptionInfo) bool { return true })
		equal(t, info.Settings.StartFrom, any(from))
		appendTo(t, client, stream, db.Any{}, "D")
		equal(t, open(t, client, stream, 0).types(t, len(strings.Fields(wanted))), wanted)
	}
}

func TestPersistentFromOfAll(t *testing.T) {
	client := plain(t, serve(t))
	stream := fresh("go")
	appendTo(t, client, stream, db.NoStream{}, "A", "B", "C")
	found, err := read(t, client, stream, db.ReadStreamOptions{})
	must(t, err)
	settings := db.SubscriptionSettingsDefault()
	filter := &db.SubscriptionFilter{Type: db.EventFilterType, Regex: "^[A-D]$"}
	var open []*reader
	for group, from := range []db.AllPosition{db.Start{}, found[1].Event.Position, db.End{}} {
		options := db.PersistentAllSubscriptionOptions{Settings: &settings, StartFrom: from, Filter: filter}
		must(t, client.CreatePersistentSubscriptionToAll(soon(t), fmt.Sprint(group), options))
		subscription, err := client.SubscribeToPersistentSubscriptionToAll(soon(t), fmt.Sprint(group), db.SubscribeToPersistentSubscriptionOptions{})
		open = append(open, hear(t, subscription, err))
	}
	appendTo(t, client, stream, db.Any{}, "D")
	equal(t, open[0].types(t, 4), "A B C D")
	equal(t, open[2].types(t, 1), "D")
	// The position itself is given, as the revision of a stream is.
	equal(t, open[1].types(t, 3), "B C D")
}

func TestPersistentNoMoreThanAskedFor(t *testing.T) {
	client := plain(t, serve(t))
	stream := grouped(t, client, nil, "A", "B", "C", "D")
	seen := open(t, client, stream, 2)
	a, b := seen.next(t), seen.next(t)
	seen.nothing(t)
	info := told(t, client, stream, func(info *db.PersistentSubscriptionInfo) bool { return info.Stats.TotalInFlightMessages == 2 })
	equal(t, fmt.Sprint(info.Connections[0].InFlightMessages, info.Connections[0].AvailableSlots), "2 0")
	must(t, seen.Ack(a.Event, b.Event))
	equal(t, seen.types(t, 2), "C D")
}

func TestPersistentOneThatLeaves(t *testing.T) {
	client := plain(t, serve(t))
	stream := grouped(t, client, nil, "A", "B", "C")
	first := open(t, client, stream, 0)
	must(t, first.Ack(first.next(t).Event))
	first.next(t)
	first.next(t)
	told(t, client, stream, func(info *db.PersistentSubscriptionInfo) bool { return info.Stats.TotalInFlightMessages == 2 })
	must(t, first.Close())
	equal(t, open(t, client, stream, 0).types(t, 2), "B C")
}

func TestPersistentTimeout(t *testing.T) {
	client := plain(t, serve(t))
	stream := grouped(t, client, func(settings *db.PersistentSubscriptionSettings) { settings.MessageTimeout = 300 }, "A")
	seen := open(t, client, stream, 0)
	first, second := seen.next(t), seen.next(t)
	equal(t, second.Event.Event.EventID, first.Event.Event.EventID)
	equal(t, fmt.Sprint(first.RetryCount, second.RetryCount), "0 1")
	must(t, seen.Ack(second.Event))
	told(t, client, stream, func(info *db.PersistentSubscriptionInfo) bool { return info.Stats.TotalInFlightMessages == 0 })
}

func TestPersistentTimeoutsPark(t *testing.T) {
	client := plain(t, serve(t))
	change := func(settings *db.PersistentSubscriptionSettings) {
		settings.MessageTimeout, settings.MaxRetryCount = 200, 1
	}
	stream := grouped(t, client, change, "A")
	seen := open(t, client, stream, 0)
	equal(t, fmt.Sprint(seen.next(t).RetryCount, seen.next(t).RetryCount), "0 1")
	parked(t, client, stream, 1)
	seen.nothing(t)
}

func TestPersistentRetriesPark(t *testing.T) {
	client := plain(t, serve(t))
	stream := grouped(t, client, func(settings *db.PersistentSubscriptionSettings) { settings.MaxRetryCount = 2 }, "A")
	seen := open(t, client, stream, 0)
	for retries := range 3 {
		event := seen.next(t)
		equal(t, event.RetryCount, retries)
		must(t, seen.Nack("again", db.NackActionRetry, event.Event))
	}
	parked(t, client, stream, 1)
	seen.nothing(t)
	found, err := read(t, client, fmt.Sprintf("$persistentsubscription-%s::group-parked", stream), db.ReadStreamOptions{})
	must(t, err)
	equal(t, string(found[0].Event.Data), "0@"+stream)
}

func TestPersistentUnknownIsRetry(t *testing.T) {
	client := plain(t, serve(t))
	stream := grouped(t, client, nil, "A")
	seen := open(t, client, stream, 0)
	must(t, seen.Nack("who knows", db.NackActionUnknown, seen.next(t).Event))
	again := seen.next(t)
	equal(t, again.RetryCount, 1)
	must(t, seen.Ack(again.Event))
}

func TestPersistentSkip(t *testing.T) {
	client := plain(t, serve(t))
	change := func(settings *db.PersistentSubscriptionSettings) {
		settings.CheckpointAfter, settings.CheckpointLowerBound, settings.CheckpointUpperBound = 50, 1, 1
	}
	stream := grouped(t, client, change, "A", "B")
	seen := open(t, client, stream, 1)
	must(t, seen.Nack("not this", db.NackActionSkip, seen.next(t).Event))
	equal(t, seen.types(t, 1), "B")
	seen.nothing(t)
	// What is left out is done, and not parked.
	equal(t, settled(t, client, stream, 1).Stats.ParkedMessagesCount, 0)
}

func TestPersistentStop(t *testing.T) {
	client := plain(t, serve(t))
	stream := grouped(t, client, nil, "A")
	seen := open(t, client, stream, 0)
	must(t, seen.Nack("enough", db.NackActionStop, seen.next(t).Event))
	lost(t, seen.end(t), stream)
	equal(t, open(t, client, stream, 0).types(t, 1), "A")
	parked(t, client, stream, 0)
}

func TestPersistentReplay(t *testing.T) {
	client := plain(t, serve(t))
	stream := grouped(t, client, nil, "A", "B", "C")
	seen := open(t, client, stream, 0)
	for range 3 {
		must(t, seen.Nack("later", db.NackActionPark, seen.next(t).Event))
	}
	parked(t, client, stream, 3)
	must(t, client.ReplayParkedMessages(soon(t), stream, "group", db.ReplayParkedMessagesOptions{StopAt: 2}))
	equal(t, seen.types(t, 2), "A B")
	seen.nothing(t)
	parked(t, client, stream, 1)
	must(t, client.ReplayParkedMessages(soon(t), stream, "group", db.ReplayParkedMessagesOptions{}))
	equal(t, seen.types(t, 1), "C")
	parked(t, client, stream, 0)
	// What is parked again can be replayed again.
	appendTo(t, client, stream, db.Any{}, "D")
	for range 2 {
		must(t, seen.Nack("later", db.NackActionPark, seen.next(t).Event))
		parked(t, client, stream, 1)
		must(t, client.ReplayParkedMessages(soon(t), stream, "group", db.ReplayParkedMessagesOptions{}))
	}
	equal(t, seen.types(t, 1), "D")
	parked(t, client, stream, 0)
}

func TestPersistentTold(t *testing.T) {
	client := plain(t, serve(t))
	stream := grouped(t, client, func(settings *db.PersistentSubscriptionSettings) {
		*settings = db.PersistentSubscriptionSettings{
			MaxRetryCount: 7, CheckpointLowerBound: 1, CheckpointUpperBound: 5, MaxSubscriberCount: 3, LiveBufferSize: 300, ReadBatchSize: 30,
			HistoryBufferSize: 400, ConsumerStrategyName: db.ConsumerStrategyPinned, MessageTimeout: 12_345, CheckpointAfter: 100,
			ResolveLinkTos: true, ExtraStatistics: true,
		}
	}, "A", "B")
	info := told(t, client, stream, func(*db.PersistentSubscriptionInfo) bool { return true })
	equal(t, fmt.Sprint(info.EventSource, " ", info.GroupName, len(info.Connections)), stream+" group0")
	wanted := db.PersistentSubscriptionSettings{
		StartFrom: db.Start{}, MaxRetryCount: 7, CheckpointLowerBound: 1, CheckpointUpperBound: 5, MaxSubscriberCount: 3, LiveBufferSize: 300, ReadBatchSize: 30,
		HistoryBufferSize: 400, ConsumerStrategyName: db.ConsumerStrategyPinned, MessageTimeout: 12_345, CheckpointAfter: 100,
		ResolveLinkTos: true, ExtraStatistics: true,
	}
	equal(t, *info.Settings, wanted)
	equal(t, open(t, client, stream, 0).types(t, 2), "A B")
	info = settled(t, client, stream, 1)
	equal(t, fmt.Sprint(info.Stats.TotalItems, *info.Stats.LastKnownEventRevision, info.Stats.TotalInFlightMessages, len(info.Connections)), "2 1 0 1")
	equal(t, info.Connections[0].TotalItemsProcessed, 2)
}

func TestPersistentListed(t *testing.T) {
	client := plain(t, serve(t))
	names := func(found []db.PersistentSubscriptionInfo, err error) string {
		t.Helper()
		must(t, err)
		var words []string
		for _, each := range found {
			words = append(words, each.EventSource+"::"+each.GroupName)
		}
		slices.Sort(words)
		return strings.Join(words, " ")
	}
	one, options := grouped(t, client, nil), db.ListPersistentSubscriptionsOptions{}
	must(t, client.CreatePersistentSubscription(soon(t), one, "other", fromStart(nil)))
	equal(t, names(client.ListPersistentSubscriptionsForStream(soon(t), one, options)), fmt.Sprintf("%s::group %s::other", one, one))
	_, err := client.ListPersistentSubscriptionsForStream(soon(t), fresh("go"), options)
	refused(t, err, db.ErrorCodeResourceNotFound)
	_, err = client.ListPersistentSubscriptionsToAll(soon(t), options)
	refused(t, err, db.ErrorCodeResourceNotFound)
	settings := db.SubscriptionSettingsDefault()
	must(t, client.CreatePersistentSubscriptionToAll(soon(t), "whole", db.PersistentAllSubscriptionOptions{Settings: &settings}))
	equal(t, names(client.ListPersistentSubscriptionsToAll(soon(t), options)), "$all::whole")
	equal(t, names(client.ListAllPersistentSubscriptions(soon(t), options)), fmt.Sprintf("$all::whole %s::group %s::other", one, one))
	must(t, client.RestartPersistentSubscriptionSubsystem(soon(t), db.RestartPersistentSubscriptionSubsystemOptions{}))
	equal(t, names(client.ListPersistentSubscriptionsForStream(soon(t), one, options)), fmt.Sprintf("%s::group %s::other", one, one))
}

func TestPersistentLinks(t *testing.T) {
	client := plain(t, serve(t))
	one, two := fresh("golinks"), fresh("golinks")
	appendTo(t, client, one, db.NoStream{}, "A")
	options := fromStart(func(settings *db.PersistentSubscriptionSettings) { settings.ResolveLinkTos = true })
	must(t, client.CreatePersistentSubscription(soon(t), "$ce-golinks", "group", options))
	seen := open(t, client, "$ce-golinks", 0)
	first := seen.next(t)
	equal(t, fmt.Sprint(first.Event.Event.StreamID, first.Event.Link.StreamID, first.Event.Link.EventNumber), one+"$ce-golinks0")
	// What is answered for is the link.
	must(t, seen.Ack(first.Event))
	appendTo(t, client, two, db.NoStream{}, "B")
	second := seen.next(t)
	equal(t, second.Event.Event.EventType, "B")
	must(t, seen.Nack("later", db.NackActionPark, second.Event))
	parked(t, client, "$ce-golinks", 1)
	must(t, client.ReplayParkedMessages(soon(t), "$ce-golinks", "group", db.ReplayParkedMessagesOptions{}))
	equal(t, seen.types(t, 1), "B")
	parked(t, client, "$ce-golinks", 0)
}

func TestPersistentSingleGoesOnWhenFull(t *testing.T) {
	client := plain(t, serve(t))
	change := func(settings *db.PersistentSubscriptionSettings) {
		settings.ConsumerStrategyName = db.ConsumerStrategyDispatchToSingle
	}
	stream := grouped(t, client, change)
	both := []*reader{open(t, client, stream, 2), open(t, client, stream, 2)}
	appendTo(t, client, stream, db.NoStream{}, "A", "B", "C", "D", "E")
	told(t, client, stream, func(info *db.PersistentSubscriptionInfo) bool { return info.Stats.TotalInFlightMessages == 4 })
	var pairs []string
	for _, each := range both {
		pairs = append(pairs, each.next(t).Event.Event.EventType+each.next(t).Event.Event.EventType)
		each.nothing(t)
	}
	slices.Sort(pairs)
	equal(t, fmt.Sprint(pairs), "[AB CD]")
}

func TestPersistentPinsStreams(t *testing.T) {
	client := plain(t, serve(t))
	settings := db.SubscriptionSettingsDefault()
	settings.ConsumerStrategyName = db.ConsumerStrategyPinned
	filter := &db.SubscriptionFilter{Type: db.StreamFilterType, Prefixes: []string{"pinned-"}}
	options := db.PersistentAllSubscriptionOptions{Settings: &settings, StartFrom: db.Start{}, Filter: filter}
	must(t, client.CreatePersistentSubscriptionToAll(soon(t), "group", options))
	var both []*reader
	for range 2 {
		subscription, err := client.SubscribeToPersistentSubscriptionToAll(soon(t), "group", db.SubscribeToPersistentSubscriptionOptions{BufferSize: 100})
		both = append(both, hear(t, subscription, err))
	}
	const streams = 20
	for round := range 2 {
		for number := range streams {
			appendTo(t, client, fmt.Sprintf("pinned-%d", number), db.Any{}, fmt.Sprint(round))
		}
	}
	owner, counts := map[string]int{}, [2]int{}
	for late := time.After(20 * time.Second); counts[0]+counts[1] < 2*streams; {
		at, event := 0, (*db.EventAppeared)(nil)
		select {
		case event = <-both[0].events:
		case event = <-both[1].events:
			at = 1
		case <-late:
			t.Fatalf("%v of %d events within 20 s", counts, 2*streams)
		}
		stream := event.Event.Event.StreamID
		if before, ok := owner[stream]; ok && before != at {
			t.Fatalf("both consumers have events of %s", stream)
		}
		owner[stream] = at
		counts[at]++
		must(t, both[at].Ack(event.Event))
	}
	if counts[0] == 0 || counts[1] == 0 {
		t.Fatalf("one consumer has all streams: %v", counts)
	}
}

func TestPersistentRestart(t *testing.T) {
	for _, signal := range []string{"TERM", "KILL"} {
		t.Run(signal, func(t *testing.T) {
			server := serve(t)
			client := plain(t, server)
			change := func(settings *db.PersistentSubscriptionSettings) {
				settings.CheckpointAfter, settings.CheckpointLowerBound, settings.CheckpointUpperBound = 50, 1, 1
			}
			stream := grouped(t, client, change, "A", "B", "C")
			seen := open(t, client, stream, 0)
			equal(t, seen.types(t, 2), "A B")
			must(t, seen.Nack("later", db.NackActionPark, seen.next(t).Event))
			parked(t, client, stream, 1)
			settled(t, client, stream, 2)
			server.end(signal)
			if err := seen.end(t); err == nil || !strings.Contains(err.Error(), "code = Unavailable") {
				t.Fatalf("no word of the end of the server: %v", err)
			}
			server.start(t)
			later := plain(t, server)
			parked(t, later, stream, 1)
			appendTo(t, later, stream, db.Revision(2), "D")
			seen = open(t, later, stream, 0)
			equal(t, seen.types(t, 1), "D")
			must(t, later.ReplayParkedMessages(soon(t), stream, "group", db.ReplayParkedMessagesOptions{}))
			equal(t, seen.types(t, 1), "C")
			parked(t, later, stream, 0)
		})
	}
}
