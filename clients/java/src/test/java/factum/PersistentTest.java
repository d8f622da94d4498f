package factum;

import static factum.Server.*;
import static org.junit.jupiter.api.Assertions.*;

import io.grpc.Status;
import io.kurrent.dbclient.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.*;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class PersistentTest {
    static Server server;
    static KurrentDBClient client;
    static KurrentDBPersistentSubscriptionsClient groups;

    @BeforeAll
    static void start() throws Exception {
        server = new Server();
        client = server.client();
        groups = KurrentDBPersistentSubscriptionsClient.from(client);
    }

    @AfterAll
    static void stop() throws Exception {
        server.close();
    }

    record Given(ResolvedEvent event, int retries) {}

    static final class Consumer extends PersistentSubscriptionListener {
        final BlockingQueue<Given> events = new LinkedBlockingQueue<>();
        final CompletableFuture<Throwable> end = new CompletableFuture<>();

        @Override
        public void onEvent(PersistentSubscription subscription, int retries, ResolvedEvent event) {
            events.add(new Given(event, retries));
        }

        @Override
        public void onCancelled(PersistentSubscription subscription, Throwable error) {
            end.complete(error == null ? new CancellationException() : error);
        }

        Given next() throws Exception {
            Given given = events.poll(20, TimeUnit.SECONDS);
            assertNotNull(given, "no event within 20 s");
            return given;
        }
    }

    static void parked(String stream, long count) throws Exception {
        for (int round = 0; ; round++) {
            long found = get(groups.getInfoToStream(stream, "group")).orElseThrow().getStats().getParkedMessageCount();
            if (found == count) return;
            assertTrue(round < 200, "parked: " + found);
            Thread.sleep(50);
        }
    }

    @Test
    void ackNackParkReplay() throws Exception {
        String stream = fresh("java");
        get(client.appendToStream(stream, events("A", "B", "C")));
        var options = CreatePersistentSubscriptionToStreamOptions.get().fromStart();
        get(groups.createToStream(stream, "group", options));
        assertEquals(Status.Code.ALREADY_EXISTS, code(groups.createToStream(stream, "group", options)));
        Consumer seen = new Consumer();
        PersistentSubscription subscription = get(groups.subscribeToStream(stream, "group", seen));
        Given a = seen.next(), b = seen.next(), c = seen.next();
        subscription.ack(a.event());
        subscription.nack(NackAction.Retry, "again", b.event());
        Given again = seen.next();
        assertEquals(b.event().getEvent().getEventId(), again.event().getEvent().getEventId());
        assertEquals(1, again.retries());
        subscription.nack(NackAction.Park, "later", again.event(), c.event());
        parked(stream, 2);
        get(groups.replayParkedMessagesToStream(stream, "group"));
        subscription.ack(seen.next().event(), seen.next().event());
        parked(stream, 0);
        assertEquals(1, get(groups.listToStream(stream)).size());
        get(groups.deleteToStream(stream, "group"));
        assertNotNull(seen.end.get(20, TimeUnit.SECONDS));
        // This client has no class of its own for it.
        assertEquals(Status.Code.NOT_FOUND, code(groups.deleteToStream(stream, "group")));
    }

    @Test
    void ofAll() throws Exception {
        String tag = fresh("java");
        SubscriptionFilter filter = SubscriptionFilter.newBuilder().addStreamNamePrefix(tag).build();
        get(groups.createToAll(tag, CreatePersistentSubscriptionToAllOptions.get().fromStart().filter(filter)));
        get(client.appendToStream(fresh("other"), events("No")));
        get(client.appendToStream(tag, events("A")));
        Consumer seen = new Consumer();
        PersistentSubscription subscription = get(groups.subscribeToAll(tag, seen));
        Given given = seen.next();
        assertEquals(tag, given.event().getEvent().getStreamId());
        subscription.ack(given.event());
        subscription.stop();
        get(groups.deleteToAll(tag));
    }

    static NamedConsumerStrategy[] strategies() {
        return new NamedConsumerStrategy[] {
            NamedConsumerStrategy.ROUND_ROBIN, NamedConsumerStrategy.DISPATCH_TO_SINGLE,
            NamedConsumerStrategy.PINNED, NamedConsumerStrategy.PINNED_BY_CORRELATION,
        };
    }

    @ParameterizedTest
    @MethodSource("strategies")
    void twoClientsShareAcrossARestart(NamedConsumerStrategy strategy) throws Exception {
        try (Server own = new Server()) {
            String stream = fresh("java");
            var options = CreatePersistentSubscriptionToStreamOptions.get().fromStart().namedConsumerStrategy(strategy)
                .checkpointAfterInMs(50).checkpointLowerBound(1).checkpointUpperBound(1);
            get(KurrentDBPersistentSubscriptionsClient.from(own.client()).createToStream(stream, "group", options));
            List<String> ids = List.of(UUID.randomUUID().toString(), UUID.randomUUID().toString());
            for (int round = 0; round < 2; round++) {
                // Two clients, and new ones after the restart.
                List<Sharer> both = new ArrayList<>();
                KurrentDBClient one = own.client();
                for (KurrentDBClient each : List.of(one, own.client())) {
                    Sharer sharer = new Sharer();
                    var buffer = SubscribePersistentSubscriptionOptions.get().bufferSize(20);
                    get(KurrentDBPersistentSubscriptionsClient.from(each).subscribeToStream(stream, "group", buffer, sharer));
                    both.add(sharer);
                }
                List<EventData> ten = new ArrayList<>();
                for (int at = 0; at < 10; at++) {
                    String metadata = "{\"$correlationId\":\"" + ids.get(at % 2) + "\"}";
                    ten.add(EventDataBuilder.json("E", "{}".getBytes()).metadataAsBytes(metadata.getBytes()).build());
                }
                get(one.appendToStream(stream, ten.iterator()));
                settled(KurrentDBPersistentSubscriptionsClient.from(one), stream, strategy, 10L * round + 9);
                List<Long> numbers = new ArrayList<>();
                for (Sharer each : both) each.events.forEach(event -> numbers.add(event.getEvent().getRevision()));
                Collections.sort(numbers);
                assertEquals(LongStream.range(10L * round, 10L * round + 10).boxed().toList(), numbers);
                judge(strategy, both.get(0), both.get(1));
                if (round == 0) {
                    assertEquals(137, own.end("KILL"));
                    own.start();
                }
            }
        }
    }

    /** Acknowledges all it gets, and takes it down. */
    static final class Sharer extends PersistentSubscriptionListener {
        final Queue<ResolvedEvent> events = new ConcurrentLinkedQueue<>();

        @Override
        public void onEvent(PersistentSubscription subscription, int retries, ResolvedEvent event) {
            events.add(event);
            subscription.ack(event);
        }

        @Override
        public void onCancelled(PersistentSubscription subscription, Throwable error) {}
    }

    static void settled(KurrentDBPersistentSubscriptionsClient client, String stream, NamedConsumerStrategy strategy, long revision) throws Exception {
        for (int round = 0; ; round++) {
            PersistentSubscriptionToStreamInfo info = get(client.getInfoToStream(stream, "group")).orElseThrow();
            assertEquals(strategy.toString(), info.getSettings().getNamedConsumerStrategy().toString());
            if (info.getStats().getLastCheckpointedEventRevision().equals(Optional.of(revision))) return;
            assertTrue(round < 400, "no checkpoint at " + revision + ": " + info.getStats());
            Thread.sleep(50);
        }
    }

    static void judge(NamedConsumerStrategy strategy, Sharer one, Sharer two) {
        List<Integer> counts = Stream.of(one.events.size(), two.events.size()).sorted().toList();
        if (strategy.isRoundRobin()) {
            assertEquals(List.of(5, 5), counts);
        } else if (strategy.isPinnedByCorrelation()) {
            Map<String, Sharer> owner = new HashMap<>();
            for (Sharer each : List.of(one, two)) {
                for (ResolvedEvent event : each.events) {
                    Sharer before = owner.putIfAbsent(new String(event.getEvent().getUserMetadata()), each);
                    assertTrue(before == null || before == each, "both have events of one correlation");
                }
            }
            assertEquals(2, owner.size());
        } else {
            assertEquals(List.of(0, 10), counts);
        }
    }
}
