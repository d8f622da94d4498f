package factum;

import static factum.Server.*;
import static org.junit.jupiter.api.Assertions.*;

import io.grpc.Status;
import io.kurrent.dbclient.*;
import java.util.concurrent.*;
import org.junit.jupiter.api.*;

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
}
