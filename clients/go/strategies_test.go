package clients

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	db "github.com/kurrent-io/KurrentDB-Client-Go/kurrentdb"
)

// consumer acknowledges all it gets, and takes it down.
type consumer struct {
	subscription *db.PersistentSubscription
	events       chan *db.ResolvedEvent
	dropped      chan error
}

func consume(t *testing.T, client *db.Client, stream string) *consumer {
	t.Helper()
	subscription, err := client.SubscribeToPersistentSubscription(soon(t), stream, "group", db.SubscribeToPersistentSubscriptionOptions{BufferSize: 20})
	must(t, err)
	made := &consumer{subscription, make(chan *db.ResolvedEvent, 1000), make(chan error, 1)}
	go func() {
		for {
			event := subscription.Recv()
			if event.SubscriptionDropped != nil {
				made.dropped <- event.SubscriptionDropped.Error
				return
			}
			if event.EventAppeared == nil {
				continue
			}
			if err := subscription.Ack(event.EventAppeared.Event); err != nil {
				made.dropped <- err
				return
			}
			made.events <- event.EventAppeared.Event
		}
	}()
	return made
}

// share gives what each of two consumers gets until there are so many.
func share(t *testing.T, both [2]*consumer, count int) [2][]*db.ResolvedEvent {
	t.Helper()
	var given [2][]*db.ResolvedEvent
	for late := time.After(20 * time.Second); len(given[0])+len(given[1]) < count; {
		select {
		case event := <-both[0].events:
			given[0] = append(given[0], event)
		case event := <-both[1].events:
			given[1] = append(given[1], event)
		case err := <-both[0].dropped:
			t.Fatalf("dropped: %v", err)
		case err := <-both[1].dropped:
			t.Fatalf("dropped: %v", err)
		case <-late:
			t.Fatalf("%d and %d of %d events within 20 s", len(given[0]), len(given[1]), count)
		}
	}
	return given
}

// settled waits until the group has acknowledged up to a revision, durably.
func settled(t *testing.T, client *db.Client, stream string, revision uint64) *db.PersistentSubscriptionInfo {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		info, err := client.GetPersistentSubscriptionInfo(soon(t), stream, "group", db.GetPersistentSubscriptionOptions{})
		if err == nil && info.Stats.LastCheckpointedEventRevision != nil && *info.Stats.LastCheckpointedEventRevision == revision {
			return info
		}
		if time.Now().After(end) {
			t.Fatalf("no checkpoint at %d: %v, %v", revision, info, err)
		}
	}
}

// judge says whether ten events were shared as the strategy has it.
func judge(t *testing.T, strategy db.ConsumerStrategy, given [2][]*db.ResolvedEvent) {
	t.Helper()
	counts := []int{len(given[0]), len(given[1])}
	slices.Sort(counts)
	switch strategy {
	case db.ConsumerStrategyRoundRobin:
		equal(t, fmt.Sprint(counts), "[5 5]")
	case db.ConsumerStrategyDispatchToSingle, db.ConsumerStrategyPinned:
		equal(t, fmt.Sprint(counts), "[0 10]")
	case db.ConsumerStrategyPinnedByCorrelation:
		owner := map[string]int{}
		for at, found := range given {
			for _, event := range found {
				of := string(event.Event.UserMetadata)
				if before, ok := owner[of]; ok && before != at {
					t.Fatalf("both consumers have events of %s", of)
				}
				owner[of] = at
			}
		}
		equal(t, len(owner), 2)
	}
}

func TestPersistentStrategies(t *testing.T) {
	for _, strategy := range []db.ConsumerStrategy{db.ConsumerStrategyRoundRobin, db.ConsumerStrategyDispatchToSingle, db.ConsumerStrategyPinned, db.ConsumerStrategyPinnedByCorrelation} {
		t.Run(string(strategy), func(t *testing.T) { strategyOverARestart(t, strategy) })
	}
}

func strategyOverARestart(t *testing.T, strategy db.ConsumerStrategy) {
	server := serve(t)
	stream := fresh("go")
	settings := db.SubscriptionSettingsDefault()
	settings.ConsumerStrategyName = strategy
	settings.CheckpointAfter, settings.CheckpointLowerBound, settings.CheckpointUpperBound = 50, 1, 1
	options := db.PersistentStreamSubscriptionOptions{Settings: &settings, StartFrom: db.Start{}}
	must(t, plain(t, server).CreatePersistentSubscription(soon(t), stream, "group", options))
	ids := []string{uuid.NewString(), uuid.NewString()}
	for round := range uint64(2) {
		// Two clients, and new ones after the restart.
		clients := [2]*db.Client{plain(t, server), plain(t, server)}
		both := [2]*consumer{consume(t, clients[0], stream), consume(t, clients[1], stream)}
		ten := events(make([]string, 10)...)
		for at := range ten {
			ten[at].EventType = "E"
			ten[at].Metadata = fmt.Appendf(nil, `{"$correlationId":%q}`, ids[at%2])
		}
		_, err := clients[0].AppendToStream(soon(t), stream, db.AppendToStreamOptions{}, ten...)
		must(t, err)
		given := share(t, both, 10)
		info := settled(t, clients[0], stream, 10*round+9)
		equal(t, info.Settings.ConsumerStrategyName, strategy)
		judge(t, strategy, given)
		var seen []uint64
		for _, event := range slices.Concat(given[0], given[1]) {
			seen = append(seen, event.Event.EventNumber)
		}
		slices.Sort(seen)
		for at, number := range seen {
			equal(t, number, 10*round+uint64(at))
		}
		if round == 0 {
			equal(t, server.end("KILL"), 137)
			server.start(t)
		}
	}
}
