package factum;

import static factum.Server.*;
import static org.junit.jupiter.api.Assertions.*;

import io.grpc.Status;
import io.kurrent.dbclient.*;
import java.util.*;
import java.util.concurrent.*;
import org.junit.jupiter.api.*;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SubscriptionsTest {
    @Test
    void ofAStream() throws Exception {
        try (Server server = new Server()) {
            KurrentDBClient client = server.client();
            String stream = fresh("java");
            get(client.appendToStream(stream, events("A", "B")));
            Seen seen = new Seen();
            get(client.subscribeToStream(stream, seen, SubscribeToStreamOptions.get().fromRevision(0)));
            assertEquals("B", seen.next());
            assertTrue(seen.caughtUp.await(20, TimeUnit.SECONDS));
            get(client.appendToStream(stream, events("C")));
            assertEquals("C", seen.next());
            get(client.tombstoneStream(stream));
            deleted(stream, seen.end.get(20, TimeUnit.SECONDS));
        }
    }

    @Test
    void ofAllFiltered() throws Exception {
        try (Server server = new Server()) {
            KurrentDBClient client = server.client();
            String tag = fresh("java");
            get(client.appendToStream(fresh("other"), events("No", "No", "No")));
            get(client.appendToStream(tag, events("A")));
            BlockingQueue<Position> points = new LinkedBlockingQueue<>();
            SubscriptionFilter filter = SubscriptionFilter.newBuilder().addStreamNamePrefix(tag).withMaxWindow(1)
                .withCheckpointer((subscription, position) -> {
                    points.add(position);
                    return CompletableFuture.completedFuture(null);
                }, 1).build();
            Seen seen = new Seen();
            Subscription subscription = get(client.subscribeToAll(seen, SubscribeToAllOptions.get().fromStart().filter(filter)));
            assertEquals("A", seen.next());
            assertNotNull(points.poll(20, TimeUnit.SECONDS));
            get(client.appendToStream(fresh("other"), events("No")));
            get(client.appendToStream(tag, events("B")));
            assertEquals("B", seen.next());
            subscription.stop();
        }
    }

    @Test
    void ofAStreamFrom() throws Exception {
        try (Server server = new Server()) {
            KurrentDBClient client = server.client();
            String stream = fresh("java");
            get(client.appendToStream(stream, events("A", "B", "C")));
            var cases = Map.of("A B C", SubscribeToStreamOptions.get().fromStart(), "B C", SubscribeToStreamOptions.get().fromRevision(0), "", SubscribeToStreamOptions.get().fromRevision(2));
            for (var each : cases.entrySet()) {
                Seen seen = new Seen();
                Subscription subscription = get(client.subscribeToStream(stream, seen, each.getValue()));
                assertEquals(2L, seen.caughtUpAt.get(20, TimeUnit.SECONDS).revision());
                assertEquals(each.getKey(), seen.soFar());
                subscription.stop();
            }
            Seen end = new Seen();
            Subscription subscription = get(client.subscribeToStream(stream, end, SubscribeToStreamOptions.get().fromEnd()));
            assertTrue(end.caughtUp.await(20, TimeUnit.SECONDS));
            get(client.appendToStream(stream, events("D")));
            assertEquals("D", end.next());
            subscription.stop();
        }
    }

    @Test
    void caughtUpFromTheEnd() throws Exception {
        try (Server server = new Server()) {
            KurrentDBClient client = server.client();
            String stream = fresh("java");
            get(client.appendToStream(stream, events("A", "B", "C")));
            Seen seen = new Seen();
            Subscription subscription = get(client.subscribeToStream(stream, seen, SubscribeToStreamOptions.get().fromEnd()));
            assertEquals(2L, seen.caughtUpAt.get(20, TimeUnit.SECONDS).revision());
            subscription.stop();
        }
    }

    @Test
    void ofWhatIsNotThere() throws Exception {
        try (Server server = new Server()) {
            KurrentDBClient client = server.client();
            String stream = fresh("java");
            Seen seen = new Seen();
            get(client.subscribeToStream(stream, seen, SubscribeToStreamOptions.get().fromStart()));
            assertTrue(seen.caughtUp.await(20, TimeUnit.SECONDS));
            get(client.appendToStream(stream, events("A")));
            assertEquals("A", seen.next());
            // It outlives a deletion, and not a tombstone.
            get(client.deleteStream(stream));
            get(client.appendToStream(stream, events("B")));
            assertEquals("B", seen.next());
            get(client.tombstoneStream(stream));
            deleted(stream, seen.end.get(20, TimeUnit.SECONDS));
            Seen again = new Seen();
            client.subscribeToStream(stream, again, SubscribeToStreamOptions.get().fromStart());
            deleted(stream, again.end.get(20, TimeUnit.SECONDS));
        }
    }

    @Test
    void ofAllFrom() throws Exception {
        try (Server server = new Server()) {
            KurrentDBClient client = server.client();
            String stream = fresh("java");
            get(client.appendToStream(stream, events("A", "B", "C")));
            var found = get(client.readStream(stream, ReadStreamOptions.get())).getEvents();
            Position second = found.get(1).getEvent().getPosition(), third = found.get(2).getEvent().getPosition();
            // A position is one that was seen: what comes is after it.
            var cases = Map.of("C", SubscribeToAllOptions.get().fromPosition(second), "", SubscribeToAllOptions.get().fromEnd());
            for (var each : cases.entrySet()) {
                Seen seen = new Seen();
                Subscription subscription = get(client.subscribeToAll(seen, each.getValue()));
                assertTrue(seen.caughtUpAt.get(20, TimeUnit.SECONDS).position().getCommitUnsigned() >= third.getCommitUnsigned());
                assertEquals(each.getKey(), seen.soFar());
                subscription.stop();
            }
            Seen end = new Seen();
            Subscription live = get(client.subscribeToAll(end, SubscribeToAllOptions.get().fromEnd()));
            assertTrue(end.caughtUp.await(20, TimeUnit.SECONDS));
            get(client.appendToStream(stream, events("D")));
            assertEquals("D", end.next());
            live.stop();
            // All but the system's.
            SubscriptionFilter filter = SubscriptionFilter.newBuilder().withEventTypeRegularExpression("^[^\\$].*").build();
            Seen whole = new Seen();
            Subscription subscription = get(client.subscribeToAll(whole, SubscribeToAllOptions.get().fromStart().filter(filter)));
            assertTrue(whole.caughtUp.await(20, TimeUnit.SECONDS));
            assertEquals("A B C D", whole.soFar());
            subscription.stop();
        }
    }

    @Test
    void eachFilter() throws Exception {
        try (Server server = new Server()) {
            KurrentDBClient client = server.client();
            String tag = fresh("java");
            get(client.appendToStream(fresh("other"), events("No")));
            get(client.appendToStream(tag + "-1", events(tag + "A")));
            for (SubscriptionFilter filter : List.of(
                SubscriptionFilter.newBuilder().addStreamNamePrefix(tag).build(),
                SubscriptionFilter.newBuilder().withStreamNameRegularExpression("^" + tag + "-[0-9]+").build(),
                SubscriptionFilter.newBuilder().addEventTypePrefix(tag).build(),
                SubscriptionFilter.newBuilder().withEventTypeRegularExpression("^" + tag + "[A-Z]$").build())) {
                Seen seen = new Seen();
                Subscription subscription = get(client.subscribeToAll(seen, SubscribeToAllOptions.get().fromStart().filter(filter)));
                assertTrue(seen.caughtUp.await(20, TimeUnit.SECONDS));
                assertEquals(tag + "A", seen.next().substring(0, tag.length() + 1));
                seen.soFar();
                get(client.appendToStream(fresh("other"), events("No")));
                get(client.appendToStream(tag + "-2", events(tag + "B")));
                assertEquals(tag + "B", seen.next());
                subscription.stop();
            }
        }
    }

    @Test
    void ofNoExpression() throws Exception {
        try (Server server = new Server()) {
            KurrentDBClient client = server.client();
            // This client compiles it itself first, as one of Java's.
            SubscriptionFilter filter = SubscriptionFilter.newBuilder().withEventTypeRegularExpression("\\p{javaLowerCase}").build();
            assertEquals(Status.Code.INVALID_ARGUMENT, code(client.subscribeToAll(new Seen(), SubscribeToAllOptions.get().fromStart().filter(filter))));
            get(client.appendToStream(fresh("java"), events("A")));
        }
    }

    @Test
    void aSlowReader() throws Exception {
        try (Server server = new Server()) {
            KurrentDBClient client = server.client();
            String stream = fresh("java");
            CountDownLatch reading = new CountDownLatch(1);
            Seen seen = new Seen() {
                @Override
                public void onEvent(Subscription subscription, ResolvedEvent event) {
                    try {
                        reading.await();
                    } catch (InterruptedException error) {
                        Thread.currentThread().interrupt();
                    }
                    super.onEvent(subscription, event);
                }
            };
            Subscription subscription = get(client.subscribeToStream(stream, seen, SubscribeToStreamOptions.get().fromStart()));
            assertTrue(seen.caughtUp.await(20, TimeUnit.SECONDS));
            // More than is kept for it while it does not read. What waits there waits in the client's own thread: another appends.
            KurrentDBClient other = server.client();
            String[] many = new String[500];
            Arrays.fill(many, "E".repeat(200));
            for (int round = 0; round < 6; round++) get(other.appendToStream(stream, events(many)));
            reading.countDown();
            for (long at = 0; at < 3000; at++) {
                ResolvedEvent event = seen.events.poll(20, TimeUnit.SECONDS);
                assertNotNull(event, "no event within 20 s");
                assertEquals(at, event.getEvent().getRevision());
            }
            get(other.appendToStream(stream, events("Last")));
            assertEquals("Last", seen.next());
            subscription.stop();
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"TERM", "KILL"})
    void acrossARestart(String signal) throws Exception {
        try (Server server = new Server()) {
            KurrentDBClient client = server.client();
            String stream = fresh("java");
            EventData[] same = events("A", "B");
            WriteResult first = get(client.appendToStream(stream, AppendToStreamOptions.get().streamState(StreamState.noStream()), same));
            Seen seen = new Seen();
            get(client.subscribeToStream(stream, seen, SubscribeToStreamOptions.get().fromStart()));
            assertEquals("A", seen.next());
            assertEquals("B", seen.next());
            assertEquals(signal.equals("TERM") ? 0 : 137, server.end(signal));
            assertFalse(seen.end.get(20, TimeUnit.SECONDS) instanceof CancellationException, "the end of the server looks as if it had been asked for");
            server.start();
            WriteResult again = null;
            for (int round = 0; again == null; round++) {
                try {
                    again = get(client.appendToStream(stream, AppendToStreamOptions.get().streamState(StreamState.noStream()), same));
                } catch (ExecutionException error) {
                    if (round > 100) throw error;
                    Thread.sleep(100);
                }
            }
            assertEquals(first.toString(), again.toString());
            Seen rest = new Seen();
            get(client.subscribeToStream(stream, rest, SubscribeToStreamOptions.get().fromRevision(1)));
            get(client.appendToStream(stream, AppendToStreamOptions.get().streamRevision(1), events("C")));
            assertEquals("C", rest.next());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"TERM", "KILL"})
    void filteredAcrossARestart(String signal) throws Exception {
        try (Server server = new Server()) {
            KurrentDBClient client = server.client();
            String tag = fresh("javatag"), other = fresh("other");
            String[] noise = new String[40];
            Arrays.fill(noise, "No");
            get(client.appendToStream(tag, events("A", "B")));
            get(client.appendToStream(other, events(noise)));
            BlockingQueue<Position> points = new LinkedBlockingQueue<>();
            SubscriptionFilter filter = SubscriptionFilter.newBuilder().addStreamNamePrefix(tag).withMaxWindow(4)
                .withCheckpointer((subscription, position) -> {
                    points.add(position);
                    return CompletableFuture.completedFuture(null);
                }, 1).build();
            Seen seen = new Seen();
            get(client.subscribeToAll(seen, SubscribeToAllOptions.get().fromStart().filter(filter)));
            assertEquals("A", seen.next());
            assertEquals("B", seen.next());
            long last = get(client.readStream(tag, ReadStreamOptions.get())).getEvents().get(1).getEvent().getPosition().getCommitUnsigned();
            Position point = null;
            while (point == null || point.getCommitUnsigned() <= last) {
                point = points.poll(20, TimeUnit.SECONDS);
                assertNotNull(point, "no checkpoint behind the last event within 20 s");
            }
            server.end(signal);
            seen.end.get(20, TimeUnit.SECONDS);
            assertTrue(seen.events.isEmpty());
            server.start();
            KurrentDBClient later = server.client();
            get(later.appendToStream(other, events(noise)));
            get(later.appendToStream(tag, AppendToStreamOptions.get().streamRevision(1), events("C")));
            Seen rest = new Seen();
            get(later.subscribeToAll(rest, SubscribeToAllOptions.get().fromPosition(point).filter(filter)));
            assertEquals("C", rest.next());
            get(later.appendToStream(tag, AppendToStreamOptions.get().streamRevision(2), events("D")));
            assertEquals("D", rest.next());
        }
    }
}
