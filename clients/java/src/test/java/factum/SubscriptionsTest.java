package factum;

import static factum.Server.*;
import static org.junit.jupiter.api.Assertions.*;

import io.kurrent.dbclient.*;
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
            java.util.Arrays.fill(noise, "No");
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
