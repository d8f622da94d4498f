package factum;

import static factum.Server.*;
import static org.junit.jupiter.api.Assertions.*;

import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.kurrent.dbclient.*;
import java.util.*;
import java.util.concurrent.*;
import java.util.function.Predicate;
import java.util.stream.Collectors;
import java.util.stream.LongStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.*;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

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
        PersistentSubscription subscription;

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
            assertNotNull(given, () -> "no event within 20 s; ended: " + end.getNow(null));
            return given;
        }

        /** The types of the next events, which are acknowledged. */
        String types(int count) throws Exception {
            List<String> types = new ArrayList<>();
            for (int at = 0; at < count; at++) {
                Given given = next();
                types.add(given.event().getEvent().getEventType());
                subscription.ack(given.event());
            }
            return String.join(" ", types);
        }

        void nack(NackAction action) throws Exception {
            subscription.nack(action, "because", next().event());
        }

        void nothing() throws Exception {
            assertNull(events.poll(300, TimeUnit.MILLISECONDS));
            assertFalse(end.isDone());
        }

        /** The server ended it because of its group; this client gives the status as it came. */
        void lost(String source) throws Exception {
            var error = assertInstanceOf(StatusRuntimeException.class, end.get(20, TimeUnit.SECONDS));
            assertEquals(Status.Code.CANCELLED, error.getStatus().getCode());
            assertEquals("Subscription group group on stream " + source + " was dropped.", error.getStatus().getDescription());
        }
    }

    static Consumer open(String stream, int buffer) throws Exception {
        Consumer made = new Consumer();
        var options = SubscribePersistentSubscriptionOptions.get().bufferSize(buffer);
        made.subscription = get(groups.subscribeToStream(stream, "group", options, made));
        return made;
    }

    static CreatePersistentSubscriptionToStreamOptions fromStart() {
        return CreatePersistentSubscriptionToStreamOptions.get().fromStart();
    }

    /** A stream with these events, and a group over it. */
    static String grouped(CreatePersistentSubscriptionToStreamOptions options, String... types) throws Exception {
        String stream = fresh("java");
        if (types.length > 0) get(client.appendToStream(stream, events(types)));
        get(groups.createToStream(stream, "group", options));
        return stream;
    }

    static PersistentSubscriptionToStreamInfo told(String stream, Predicate<PersistentSubscriptionToStreamInfo> ready) throws Exception {
        for (int round = 0; ; round++) {
            PersistentSubscriptionToStreamInfo info = get(groups.getInfoToStream(stream, "group")).orElseThrow();
            if (ready.test(info)) return info;
            assertTrue(round < 200, () -> "it is not told: " + info);
            Thread.sleep(50);
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

    @Test
    void aGroupIsChangedAndDeleted() throws Exception {
        String stream = grouped(fromStart(), "A");
        Consumer seen = open(stream, 10);
        var other = UpdatePersistentSubscriptionToStreamOptions.get().fromStart().maxRetryCount(3);
        get(groups.updateToStream(stream, "group", other));
        seen.lost(stream);
        told(stream, info -> info.getSettings().getMaxRetryCount() == 3);
        seen = open(stream, 10);
        get(groups.deleteToStream(stream, "group"));
        seen.lost(stream);
        assertEquals(Status.Code.NOT_FOUND, code(groups.updateToStream(stream, "group", other)));
        assertEquals(Status.Code.NOT_FOUND, code(groups.replayParkedMessagesToStream(stream, "group")));
        assertEquals(Status.Code.NOT_FOUND, code(groups.subscribeToStream(stream, "group", new Consumer())));
        assertEquals(Optional.empty(), get(groups.getInfoToStream(stream, "group")));
    }

    @Test
    void aGroupOfAllIsChangedAndDeleted() throws Exception {
        var options = CreatePersistentSubscriptionToAllOptions.get().fromStart();
        get(groups.createToAll("group", options));
        assertEquals(Status.Code.ALREADY_EXISTS, code(groups.createToAll("group", options)));
        Consumer seen = new Consumer();
        get(groups.subscribeToAll("group", seen));
        get(groups.updateToAll("group", UpdatePersistentSubscriptionToAllOptions.get().fromStart().maxRetryCount(3)));
        seen.lost("$all");
        PersistentSubscriptionToAllInfo info = get(groups.getInfoToAll("group")).orElseThrow();
        assertEquals(3, info.getSettings().getMaxRetryCount());
        assertTrue(info.getSettings().getStartFrom().isStart());
        get(groups.replayParkedMessagesToAll("group"));
        get(groups.deleteToAll("group"));
        assertEquals(Status.Code.NOT_FOUND, code(groups.deleteToAll("group")));
        assertEquals(Status.Code.NOT_FOUND, code(groups.updateToAll("group")));
        assertEquals(Optional.empty(), get(groups.getInfoToAll("group")));
    }

    @Test
    void settingsThatCannotBe() throws Exception {
        String stream = fresh("java");
        var error = refused(StatusRuntimeException.class, groups.createToStream(stream, "group", fromStart().historyBufferSize(10).readBatchSize(20)));
        assertEquals(Status.Code.INTERNAL, error.getStatus().getCode());
        assertTrue(error.getMessage().contains("Subscription group group on stream " + stream + " failed"), error.getMessage());
        assertEquals(Optional.empty(), get(groups.getInfoToStream(stream, "group")));
    }

    @Test
    void aGroupMadeAnew() throws Exception {
        var options = fromStart().checkpointAfterInMs(50).checkpointLowerBound(1).checkpointUpperBound(1);
        String stream = grouped(options, "A", "B");
        Consumer seen = open(stream, 10);
        assertEquals("A", seen.types(1));
        seen.nack(NackAction.Park);
        parked(stream, 1);
        settled(groups, stream, NamedConsumerStrategy.ROUND_ROBIN, 1);
        // One that is changed goes on where it was, and keeps what is parked.
        get(groups.updateToStream(stream, "group", UpdatePersistentSubscriptionToStreamOptions.get().fromStart()));
        seen.lost(stream);
        get(client.appendToStream(stream, events("C")));
        assertEquals("C", open(stream, 10).types(1));
        parked(stream, 1);
        // One that is deleted and made again knows nothing.
        get(groups.deleteToStream(stream, "group"));
        get(groups.createToStream(stream, "group", options));
        parked(stream, 0);
        assertEquals("A B C", open(stream, 10).types(3));
    }

    @Test
    void replayOfAll() throws Exception {
        String tag = fresh("java");
        SubscriptionFilter filter = SubscriptionFilter.newBuilder().addStreamNamePrefix(tag).build();
        get(groups.createToAll(tag, CreatePersistentSubscriptionToAllOptions.get().fromStart().filter(filter).checkpointAfterInMs(50).checkpointLowerBound(1).checkpointUpperBound(1)));
        Consumer seen = new Consumer();
        seen.subscription = get(groups.subscribeToAll(tag, seen));
        Position at = get(client.appendToStream(tag, events("A"))).getLogPosition();
        seen.nack(NackAction.Park);
        for (int round = 0; ; round++) {
            PersistentSubscriptionToAllStats stats = get(groups.getInfoToAll(tag)).orElseThrow().getStats();
            Position done = stats.getLastCheckpointedEventPosition().orElse(at);
            if (stats.getParkedMessageCount() == 1 && stats.getLastCheckpointedEventPosition().isPresent() && done.compareTo(at) >= 0) {
                assertTrue(stats.getLastKnownEventPosition().orElseThrow().compareTo(at) >= 0);
                break;
            }
            assertTrue(round < 400, "it is not told: " + stats);
            Thread.sleep(50);
        }
        get(groups.replayParkedMessagesToAll(tag));
        assertEquals("A", seen.types(1));
        seen.subscription.stop();
        get(groups.deleteToAll(tag));
    }

    @Test
    void tooManyConsumers() throws Exception {
        String stream = grouped(fromStart().maxSubscriberCount(1), "A");
        Consumer first = open(stream, 10);
        assertEquals("A", first.types(1));
        var error = refused(StatusRuntimeException.class, groups.subscribeToStream(stream, "group", new Consumer()));
        assertEquals(Status.Code.FAILED_PRECONDITION, error.getStatus().getCode());
        assertEquals("Maximum subscriptions reached for subscription group group on stream " + stream + ".", error.getStatus().getDescription());
        first.subscription.stop();
        told(stream, info -> info.getConnections().isEmpty());
        get(client.appendToStream(stream, events("B")));
        assertEquals("B", open(stream, 10).types(1));
    }

    @Test
    void whereAGroupBegins() throws Exception {
        Map<CreatePersistentSubscriptionToStreamOptions, String> cases = Map.of(
            fromStart(), "A B C D", CreatePersistentSubscriptionToStreamOptions.get().startFrom(1), "B C D", CreatePersistentSubscriptionToStreamOptions.get().fromEnd(), "D");
        for (var each : cases.entrySet()) {
            String stream = fresh("java");
            get(client.appendToStream(stream, events("A", "B", "C")));
            get(groups.createToStream(stream, "group", each.getKey()));
            get(client.appendToStream(stream, events("D")));
            assertEquals(each.getValue(), open(stream, 10).types(each.getValue().split(" ").length));
        }
    }

    @Test
    void whereAGroupOfAllBegins() throws Exception {
        String stream = fresh("java");
        get(client.appendToStream(stream, events("A", "B", "C")));
        Position second = get(client.readStream(stream, ReadStreamOptions.get())).getEvents().get(1).getEvent().getPosition();
        SubscriptionFilter filter = SubscriptionFilter.newBuilder().withStreamNameRegularExpression("^" + stream + "$").build();
        var all = List.of(
            CreatePersistentSubscriptionToAllOptions.get().fromStart(), CreatePersistentSubscriptionToAllOptions.get().startFrom(second),
            CreatePersistentSubscriptionToAllOptions.get().fromEnd());
        List<Consumer> seen = new ArrayList<>();
        for (var options : all) {
            String group = fresh("group");
            get(groups.createToAll(group, options.filter(filter)));
            Consumer made = new Consumer();
            made.subscription = get(groups.subscribeToAll(group, made));
            seen.add(made);
        }
        get(client.appendToStream(stream, events("D")));
        assertEquals("A B C D", seen.get(0).types(4));
        // The position itself is given, as the revision of a stream is.
        assertEquals("B C D", seen.get(1).types(3));
        assertEquals("D", seen.get(2).types(1));
    }

    @Test
    void noMoreThanAskedFor() throws Exception {
        String stream = grouped(fromStart(), "A", "B", "C", "D");
        Consumer seen = open(stream, 2);
        Given a = seen.next(), b = seen.next();
        seen.nothing();
        var connection = told(stream, info -> info.getStats().getTotalInFlightMessages() == 2).getConnections().get(0);
        assertEquals(2, connection.getInFlightMessages());
        assertEquals(0, connection.getAvailableSlots());
        seen.subscription.ack(a.event(), b.event());
        assertEquals("C D", seen.types(2));
    }

    @Test
    void oneThatLeaves() throws Exception {
        String stream = grouped(fromStart(), "A", "B", "C");
        Consumer first = open(stream, 10);
        assertEquals("A", first.types(1));
        first.next();
        first.next();
        told(stream, info -> info.getStats().getTotalInFlightMessages() == 2);
        first.subscription.stop();
        assertEquals("B C", open(stream, 10).types(2));
    }

    @Test
    void timeout() throws Exception {
        String stream = grouped(fromStart().messageTimeoutInMs(300), "A");
        Consumer seen = open(stream, 10);
        Given first = seen.next(), second = seen.next();
        assertEquals(first.event().getEvent().getEventId(), second.event().getEvent().getEventId());
        assertEquals(List.of(0, 1), List.of(first.retries(), second.retries()));
        seen.subscription.ack(second.event());
        told(stream, info -> info.getStats().getTotalInFlightMessages() == 0);
    }

    @Test
    void timeoutsPark() throws Exception {
        String stream = grouped(fromStart().messageTimeoutInMs(200).maxRetryCount(1), "A");
        Consumer seen = open(stream, 10);
        assertEquals(List.of(0, 1), List.of(seen.next().retries(), seen.next().retries()));
        parked(stream, 1);
        seen.nothing();
    }

    @ParameterizedTest
    @ValueSource(strings = {"Retry", "Unknown"})
    void retriesPark(String action) throws Exception {
        String stream = grouped(fromStart().maxRetryCount(2), "A");
        Consumer seen = open(stream, 10);
        for (int retries = 0; retries < 3; retries++) {
            Given given = seen.next();
            assertEquals(retries, given.retries());
            seen.subscription.nack(NackAction.valueOf(action), "again", given.event());
        }
        parked(stream, 1);
        seen.nothing();
        String parked = "$persistentsubscription-" + stream + "::group-parked";
        assertEquals("0@" + stream, new String(get(client.readStream(parked, ReadStreamOptions.get())).getEvents().get(0).getEvent().getEventData()));
    }

    @Test
    void skip() throws Exception {
        String stream = grouped(fromStart().checkpointAfterInMs(50).checkpointLowerBound(1).checkpointUpperBound(1), "A", "B");
        Consumer seen = open(stream, 1);
        seen.nack(NackAction.Skip);
        assertEquals("B", seen.types(1));
        seen.nothing();
        // What is left out is done, and not parked.
        var info = told(stream, each -> each.getStats().getLastCheckpointedEventRevision().equals(Optional.of(1L)));
        assertEquals(0, info.getStats().getParkedMessageCount());
    }

    @Test
    void stopping() throws Exception {
        String stream = grouped(fromStart(), "A");
        Consumer seen = open(stream, 10);
        seen.nack(NackAction.Stop);
        seen.lost(stream);
        assertEquals("A", open(stream, 10).types(1));
        parked(stream, 0);
    }

    @Test
    void replay() throws Exception {
        String stream = grouped(fromStart(), "A", "B", "C");
        Consumer seen = open(stream, 10);
        for (int at = 0; at < 3; at++) seen.nack(NackAction.Park);
        parked(stream, 3);
        get(groups.replayParkedMessagesToStream(stream, "group", ReplayParkedMessagesOptions.get().stopAt(2)));
        assertEquals("A B", seen.types(2));
        seen.nothing();
        parked(stream, 1);
        get(groups.replayParkedMessagesToStream(stream, "group"));
        assertEquals("C", seen.types(1));
        parked(stream, 0);
        // What is parked again can be replayed again.
        get(client.appendToStream(stream, events("D")));
        for (int at = 0; at < 2; at++) {
            seen.nack(NackAction.Park);
            parked(stream, 1);
            get(groups.replayParkedMessagesToStream(stream, "group"));
        }
        assertEquals("D", seen.types(1));
        parked(stream, 0);
    }

    @Test
    void whatIsTold() throws Exception {
        String stream = grouped(fromStart().maxRetryCount(7).checkpointLowerBound(1).checkpointUpperBound(5).maxSubscriberCount(3).liveBufferSize(300)
            .readBatchSize(30).historyBufferSize(400).namedConsumerStrategy(NamedConsumerStrategy.PINNED).messageTimeoutInMs(12_345).checkpointAfterInMs(100)
            .resolveLinkTos().enableExtraStatistics(), "A", "B");
        PersistentSubscriptionToStreamInfo info = told(stream, each -> true);
        PersistentSubscriptionToStreamSettings settings = info.getSettings();
        assertEquals(List.of(stream, "group", 0), List.of(info.getEventSource(), info.getGroupName(), info.getConnections().size()));
        assertEquals(List.of(7, 1, 5, 3, 300, 30, 400, 12_345, 100), List.of(settings.getMaxRetryCount(), settings.getCheckpointLowerBound(), settings.getCheckpointUpperBound(),
            settings.getMaxSubscriberCount(), settings.getLiveBufferSize(), settings.getReadBatchSize(), settings.getHistoryBufferSize(), settings.getMessageTimeoutMs(), settings.getCheckpointAfterInMs()));
        assertTrue(settings.isResolveLinkTos() && settings.isExtraStatistics() && settings.getStartFrom().isStart() && settings.getNamedConsumerStrategy().isPinned(), settings.toString());
        assertEquals("A B", open(stream, 10).types(2));
        info = told(stream, each -> each.getStats().getLastCheckpointedEventRevision().equals(Optional.of(1L)));
        assertEquals(2, info.getStats().getTotalItems());
        assertEquals(Optional.of(1L), info.getStats().getLastKnownEventRevision());
        assertEquals(0, info.getStats().getTotalInFlightMessages());
        assertEquals(2, info.getConnections().get(0).getTotalItems());
    }

    static List<String> names(CompletableFuture<? extends List<? extends PersistentSubscriptionInfo>> found) throws Exception {
        return get(found).stream().map(each -> each.getEventSource() + "::" + each.getGroupName()).sorted().toList();
    }

    @Test
    void lists() throws Exception {
        try (Server own = new Server()) {
            var groups = KurrentDBPersistentSubscriptionsClient.from(own.client());
            String stream = fresh("java");
            get(groups.createToStream(stream, "group"));
            get(groups.createToStream(stream, "other"));
            List<String> both = List.of(stream + "::group", stream + "::other");
            assertEquals(both, names(groups.listToStream(stream)));
            assertEquals(Status.Code.NOT_FOUND, code(groups.listToStream(fresh("java"))));
            assertEquals(Status.Code.NOT_FOUND, code(groups.listToAll()));
            get(groups.createToAll("whole"));
            assertEquals(List.of("$all::whole"), names(groups.listToAll()));
            assertEquals(List.of("$all::whole", both.get(0), both.get(1)), names(groups.listAll()));
            get(groups.restartSubsystem());
            assertEquals(both, names(groups.listToStream(stream)));
        }
    }

    @Test
    void ofLinks() throws Exception {
        String category = "java" + UUID.randomUUID().toString().substring(0, 8), index = "$ce-" + category;
        String one = fresh(category);
        get(client.appendToStream(one, events("A")));
        get(groups.createToStream(index, "group", fromStart().resolveLinkTos()));
        Consumer seen = open(index, 10);
        ResolvedEvent first = seen.next().event();
        assertEquals(List.of(one, index, 0L), List.of(first.getEvent().getStreamId(), first.getLink().getStreamId(), first.getLink().getRevision()));
        // What is answered for is the link.
        seen.subscription.ack(first);
        get(client.appendToStream(fresh(category), events("B")));
        seen.nack(NackAction.Park);
        parked(index, 1);
        get(groups.replayParkedMessagesToStream(index, "group"));
        assertEquals("B", seen.types(1));
        parked(index, 0);
    }

    @Test
    void singleGoesOnWhenFull() throws Exception {
        String stream = grouped(fromStart().namedConsumerStrategy(NamedConsumerStrategy.DISPATCH_TO_SINGLE));
        List<Consumer> both = List.of(open(stream, 2), open(stream, 2));
        get(client.appendToStream(stream, events("A", "B", "C", "D", "E")));
        told(stream, info -> info.getStats().getTotalInFlightMessages() == 4);
        List<String> pairs = new ArrayList<>();
        for (Consumer each : both) {
            pairs.add(each.next().event().getEvent().getEventType() + each.next().event().getEvent().getEventType());
            each.nothing();
        }
        Collections.sort(pairs);
        assertEquals(List.of("AB", "CD"), pairs);
    }

    @Test
    void streamsArePinned() throws Exception {
        try (Server own = new Server()) {
            KurrentDBClient client = own.client();
            var groups = KurrentDBPersistentSubscriptionsClient.from(client);
            SubscriptionFilter filter = SubscriptionFilter.newBuilder().addStreamNamePrefix("pinned-").build();
            get(groups.createToAll("group", CreatePersistentSubscriptionToAllOptions.get().fromStart().filter(filter).namedConsumerStrategy(NamedConsumerStrategy.PINNED)));
            List<Sharer> both = List.of(new Sharer(), new Sharer());
            for (Sharer each : both) get(groups.subscribeToAll("group", SubscribePersistentSubscriptionOptions.get().bufferSize(100), each));
            for (int at = 0; at < 40; at++) get(client.appendToStream("pinned-" + at % 20, events("E")));
            for (int round = 0; both.get(0).events.size() + both.get(1).events.size() < 40; round++) {
                assertTrue(round < 400, "not all events within 20 s");
                Thread.sleep(50);
            }
            List<Set<String>> streams = both.stream().map(each -> each.events.stream().map(event -> event.getEvent().getStreamId()).collect(Collectors.toSet())).toList();
            assertEquals(20, streams.get(0).size() + streams.get(1).size(), "both consumers have events of one stream");
            assertFalse(streams.get(0).isEmpty() || streams.get(1).isEmpty(), "one consumer has all streams");
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"TERM", "KILL"})
    void aConsumerAcrossARestart(String signal) throws Exception {
        try (Server own = new Server()) {
            KurrentDBClient client = own.client();
            var groups = KurrentDBPersistentSubscriptionsClient.from(client);
            String stream = fresh("java");
            get(client.appendToStream(stream, events("A", "B", "C")));
            get(groups.createToStream(stream, "group", fromStart().checkpointAfterInMs(50).checkpointLowerBound(1).checkpointUpperBound(1)));
            Consumer seen = new Consumer();
            seen.subscription = get(groups.subscribeToStream(stream, "group", seen));
            assertEquals("A B", seen.types(2));
            seen.nack(NackAction.Park);
            settled(groups, stream, NamedConsumerStrategy.ROUND_ROBIN, 2);
            assertEquals(1, get(groups.getInfoToStream(stream, "group")).orElseThrow().getStats().getParkedMessageCount());
            own.end(signal);
            var error = assertInstanceOf(StatusRuntimeException.class, seen.end.get(20, TimeUnit.SECONDS));
            assertEquals(Status.Code.UNAVAILABLE, error.getStatus().getCode());
            own.start();
            KurrentDBClient later = own.client();
            var rest = KurrentDBPersistentSubscriptionsClient.from(later);
            assertEquals(1, get(rest.getInfoToStream(stream, "group")).orElseThrow().getStats().getParkedMessageCount());
            get(later.appendToStream(stream, AppendToStreamOptions.get().streamRevision(2), events("D")));
            seen = new Consumer();
            seen.subscription = get(rest.subscribeToStream(stream, "group", seen));
            assertEquals("D", seen.types(1));
            get(rest.replayParkedMessagesToStream(stream, "group"));
            assertEquals("C", seen.types(1));
        }
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
